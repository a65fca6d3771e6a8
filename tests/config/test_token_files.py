"""Token files in every form people have them in."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.config.token_files import TokenFile, parse_tokens

A = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDA4NjQwMDB9.c2lnbmF0dXJl"
B = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDA4NjQwMDF9.c2lnbmF0dXJl"
ACCOUNT = "11111111-2222-3333-4444-555555555555"


def shown(file: TokenFile) -> list[tuple[str, str, str, str]]:
    """Token, PUID, account and label of each entry, "" for none."""
    return [
        (
            entry.token.reveal(),
            entry.access.puid.reveal() if entry.access.puid else "",
            entry.access.account or "",
            entry.label,
        )
        for entry in file.entries
    ]


FORMS = {
    "list of strings": (json.dumps([A, B]), [(A, "", "", ""), (B, "", "", "")]),
    "list of objects": (
        json.dumps([{"token": A, "puid": "user-x:1-abc"}, {"token": B}]),
        [(A, "user-x:1-abc", "", ""), (B, "", "", "")],
    ),
    "mixed list": (
        json.dumps([A, {"token": B, "puid": "user-y"}]),
        [(A, "", "", ""), (B, "user-y", "", "")],
    ),
    "map from e-mail to object": (
        json.dumps({"a@example.org": {"token": A, "puid": "user-x", "team_uid": ACCOUNT}}),
        [(A, "user-x", ACCOUNT, "a@example.org")],
    ),
    "map from name to token": (
        json.dumps({"first": A, "shared": "fk-" + "x" * 43}),
        [(A, "", "", "first"), ("fk-" + "x" * 43, "", "", "shared")],
    ),
    "one bare token": (A, [(A, "", "", "")]),
    "one bare token with a line end": (A + "\r\n", [(A, "", "", "")]),
    "one per line": (f"# mine\n\n{A}\r\n  Bearer {B}  \n", [(A, "", "", ""), (B, "", "", "")]),
    "older client's configuration": (
        json.dumps({"access_token": A, "paid": False, "proxy": None}),
        [(A, "", "", "")],
    ),
    "older client's cache": (
        json.dumps({"access_tokens": {"a@example.org": A}}),
        [(A, "", "", "a@example.org")],
    ),
    "pasted session": (
        json.dumps(
            {
                "user": {"id": "user-AbC", "name": "A B", "email": "a@example.org", "groups": []},
                "expires": "2023-05-07T02:57:57.990Z",
                "accessToken": A,
                "authProvider": "auth0",
            }
        ),
        [(A, "", "", "a@example.org")],
    ),
    "several pasted sessions": (
        json.dumps([{"accessToken": A}, {"accessToken": B}]),
        [(A, "", "", ""), (B, "", "", "")],
    ),
    "token and account per line": (f"{A},{ACCOUNT}\n{B}", [(A, "", ACCOUNT, ""), (B, "", "", "")]),
    "token and PUID per line": (f"{A}, user-x:1-abc", [(A, "user-x:1-abc", "", "")]),
    "token and account in a list": (json.dumps([f"{A},{ACCOUNT}"]), [(A, "", ACCOUNT, "")]),
    "keys without quotes": ('[{token:"' + A + '", puid:"user-x"}]', [(A, "user-x", "", "")]),
    "readme of the fork": (
        '{\n  "a@example.org": {token:"' + A + '",puid:"user-x"},\n}',
        [(A, "user-x", "", "a@example.org")],
    ),
    "single quotes, comments and spare commas": (
        f"// tokens\n[ '{A}', /* old */\n # new\n '{B}',, ]".replace(",,", ","),
        [(A, "", "", ""), (B, "", "", "")],
    ),
    "a comma too few": (f'["{A}"\n "{B}"]', [(A, "", "", ""), (B, "", "", "")]),
    "JSON lines": (
        f'{{"token":"{A}"}}\n{{"token":"{B}"}}\n',
        [(A, "", "", ""), (B, "", "", "")],
    ),
    "environment variable": (f"{A},{B}, ", [(A, "", "", ""), (B, "", "", "")]),
    "quoted lines with commas": (f'{A}",\n{B}",', [(A, "", "", ""), (B, "", "", "")]),
    "a JSON string": (json.dumps(A), [(A, "", "", "")]),
    "an export": (
        json.dumps({"tokens": [{"token": A, "label": "mine"}]}),
        [(A, "", "", "mine")],
    ),
    "a short opaque token": ("pool-token-1", [("pool-token-1", "", "", "")]),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_in_the_wild_is_read(name: str, encoding: str) -> None:
    """Each known form gives its tokens in any encoding, and nothing is skipped."""
    text, expected = FORMS[name]
    file = parse_tokens(text.encode(encoding))
    assert shown(file) == expected
    assert file.skipped == ()


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"null", b" null\n", b"# only\n// this\n"])
def test_a_file_that_says_nothing_gives_nothing(content: bytes) -> None:
    """An empty file, null, or comments only: no entries, no complaint, and not a wish to clear."""
    assert parse_tokens(content) == TokenFile()


@pytest.mark.parametrize("content", [b"[]", b"{}", b" [ ]\n", b"[ /* none */ ]"])
def test_an_explicit_empty_list_clears(content: bytes) -> None:
    """[] is something else than an empty file: it says that there shall be none."""
    assert parse_tokens(content) == TokenFile(clears=True)


def test_duplicates_are_dropped_and_counted() -> None:
    """One token twice is one credential; with another account it is another."""
    file = parse_tokens(f"{A}\n{A}\nBearer {A}\n{A},{ACCOUNT}".encode())
    assert [entry.access.account for entry in file.entries] == [None, ACCOUNT]
    assert file.duplicates == 2


SESSION_COOKIE = ".".join(
    [
        base64.urlsafe_b64encode(b'{"alg":"dir","enc":"A256GCM"}').decode().rstrip("="),
        "",
        "a",
        "b",
        "c",
    ]
)


def test_a_saved_web_page_gives_no_token() -> None:
    """Nor do its lines, though some look like words a backend of one's own might take."""
    file = parse_tokens(b"\n<!DOCTYPE html>\n<html>\nlogin\n</html>")
    assert (file.entries, file.clears) == ((), False)
    assert [str(one) for one in file.skipped] == ["the file: it is a web page, not tokens"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sk-1234567890abcdef", "API key"),
        ("sess-1234567890abcdef", "API key"),
        ("x" * 45, "refresh token"),
        ("rt_abcdef", "refresh token"),
        ("<your-token>", "begins with '<'"),
        ("a@example.org:hunter2", "does not log in"),
        ("a@example.org----hunter2", "does not log in"),
        ("a@example.org:hunter2:3/4", "does not log in"),
        ("eyJh…3f9a", "masked"),
        ("eyJhbGci...xyz", "masked"),
        ("eyJh***", "masked"),
        ("eyJh eyJi", "white space at character 5"),
        ("eyJh\tb", "white space at character 5"),
        ("eyJh\x00b", "no header may hold at character 5"),
        ("eyJhé", "no header may hold at character 5"),
        ("eyJ" + "a" * 9000, "longer than 8192"),
        (SESSION_COOKIE, "session cookie"),
        ("Bearer", "empty"),
    ],
)
def test_what_is_no_access_token_is_explained_with_its_line(line: str, reason: str) -> None:
    """People paste other secrets: each is refused with its place and why, and never repeated."""
    file = parse_tokens(f"{A}\n{line}\n{B}".encode())
    assert [entry[0] for entry in shown(file)] == [A, B]
    (skipped,) = file.skipped
    assert skipped.where == "line 2"
    assert reason in skipped.reason
    assert line not in str(skipped) or line == "Bearer"


@pytest.mark.parametrize(
    ("value", "where", "reason"),
    [
        ([A, 5], "[1]", "expected a token"),
        ([A, None], "[1]", "expected a token"),
        ([A, {}], "[1]", "expected a token"),
        ([A, {"token": 7}], "[1]", "expected an access token under"),
        ([A, {"token": A + "x", "puid": "a\r\nb"}], "[1].puid", "no cookie may hold"),
        ([A, {"token": A + "x", "puid": "user-…abcd"}], "[1].puid", "masked"),
        ([A, {"email": "a@example.org", "password": "hunter2"}], "[1]", "does not log in"),
        ([A, {"session_token": "abc"}], "[1]", "expected an access token under"),
        ({"a": A, "b": {"c": 3}}, '["b"]["c"]', "expected a token"),
        ({"a": A, "eyJ" + "x" * 90: 3}, '["…"]', "expected a token"),
        ([A, "x\r\nX-Injected: 1"], "[1]", "white space at character 2"),
    ],
)
def test_a_bad_element_is_skipped_with_its_place(value: object, where: str, reason: str) -> None:
    """One bad element does not lose the good one beside it."""
    file = parse_tokens(json.dumps(value).encode())
    assert [entry[0] for entry in shown(file)] == [A]
    (skipped,) = file.skipped
    assert skipped.where == where
    assert reason in skipped.reason
    assert "hunter2" not in str(skipped)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'["{A}", "eyJ'.encode(), "line 1"),
        (f'[\n"{A}",\n'.encode(), "line 3"),
        (b'{"a" "b"}', "a colon"),
        (b"[" * 100000, "less nesting"),
        (b"\xff\xfe\x00", "not text"),
        (b"\xfa\xfb", "not text"),
        (b'["\\ud800"]', "a string JSON can hold"),
    ],
)
def test_a_broken_file_gives_nothing_and_says_where(content: bytes, reason: str) -> None:
    """A file caught half-written, or garbage, yields no tokens at all rather than some of them."""
    file = parse_tokens(content)
    assert file.entries == () and not file.clears
    (skipped,) = file.skipped
    assert skipped.where == "the file"
    assert reason in skipped.reason


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.from_regex(r"[\[\]{}:,'\"a# /*\\\n]*").map(str.encode)
)
def test_no_content_makes_it_fail(content: bytes) -> None:
    """Any bytes give a result, and whatever is taken as a token can stand in a header."""
    for entry in parse_tokens(content).entries:
        assert all("!" <= character <= "~" for character in entry.token.reveal())


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_makes_it_fail(value: object) -> None:
    """Any JSON gives a result."""
    assert isinstance(parse_tokens(json.dumps(value).encode()), TokenFile)
