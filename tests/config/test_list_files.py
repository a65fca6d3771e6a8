"""api_keys.txt and proxies.txt."""

from __future__ import annotations

from chatgpt_to_api.config.list_files import parse_api_keys, parse_proxies


def test_keys_are_lines_of_any_text() -> None:
    """Blanks, carriage returns, comments, repeats and a byte-order mark do not count."""
    file = parse_api_keys(
        "\ufeffsk-123456\r\n\n 88888888 \n# old\nsk-123456\nschlüssel eins".encode()
    )
    assert [key.reveal() for key in file.keys] == ["sk-123456", "88888888", "schlüssel eins"]
    assert file.skipped == ()


def test_a_line_that_can_be_no_key_is_told() -> None:
    """A masked, over-long or unprintable line is skipped by its number; the others stand."""
    file = parse_api_keys(b"good\nsk-1\xe2\x80\xa6abcd\na\x00b\n" + b"x" * 2000)
    assert [key.reveal() for key in file.keys] == ["good"]
    assert [skipped.where for skipped in file.skipped] == ["line 2", "line 3", "line 4"]


def test_keys_from_a_windows_shell_are_read() -> None:
    """UTF-16 with a byte-order mark is what its redirection writes; other bytes are refused."""
    assert [key.reveal() for key in parse_api_keys("abc\r\n".encode("utf-16")).keys] == ["abc"]
    broken = parse_api_keys(b"\xff\xfa\xfb")
    assert broken.keys == () and broken.skipped[0].where == "the file"


def test_proxies_are_read_in_order_and_bad_lines_told_without_passwords() -> None:
    """Every form a proxy is written in; a bad line is skipped with its number."""
    file = parse_proxies(
        b"http://127.0.0.1:8888\nsocks5://host:1080\n# off\n10.0.0.1:3128\n"
        b"10.0.0.1:3128\n10.0.0.2:3128:user:secret\nftp://user:secret@host:1\nnothing"
    )
    assert [str(proxy) for proxy in file.proxies] == [
        "http://127.0.0.1:8888",
        "socks5://host:1080",
        "http://10.0.0.1:3128",
        "http://10.0.0.2:3128",
    ]
    assert [skipped.where for skipped in file.skipped] == ["line 7", "line 8"]
    assert "secret" not in str(file.skipped) + str(file.proxies)
