from __future__ import annotations

import pytest

from chatgpt_to_api.wire.http import Origin, split_url


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://a.example", Origin("http", "a.example", 80), "/"),
        ("https://A.example/v1?x=1", Origin("https", "a.example", 443), "/v1?x=1"),
        ("http://[::1]:8080/b", Origin("http", "::1", 8080), "/b"),
    ],
)
def test_a_url_is_split_into_origin_and_target(url: str, origin: Origin, target: str) -> None:
    """The scheme's own port is filled in and the target is never empty."""
    assert split_url(url) == (origin, target)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hunter2.example/",
        "http:///hunter2",
        "http://user:hunter2@a.example/",
        "http://a.example:hunter2/",
        "http://a.example:0/hunter2",
        "http://[hunter2/",
        "http://a.example/hunter2 x",
        "http://a.example/#hunter2",
        "http://hunter2\u2100.example/",
    ],
)
def test_a_refused_url_is_not_repeated(url: str) -> None:
    """A URL may hold a password, so no part of it is in the error."""
    with pytest.raises(ValueError) as caught:
        split_url(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
