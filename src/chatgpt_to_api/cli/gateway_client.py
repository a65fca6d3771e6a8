"""A command's own small HTTP client of a gateway: JSON calls and one kind of stream."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from chatgpt_to_api import __version__
from chatgpt_to_api.cli.exits import Exit, stop
from chatgpt_to_api.cli.output import for_terminal
from chatgpt_to_api.transport.environment import is_loopback
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import split_url
from chatgpt_to_api.wire.secret import Secret

CALL_TIMEOUT: Final = 60.0
"""Longest silence of a gateway that is asked for a document, seconds."""

ANSWER_TIMEOUT: Final = 960.0
"""Longest silence before an answer: a request may wait, and take, 15 minutes by default."""

_MAX_ERROR: Final = 64 * 1024


class GatewayAway(Exception):
    """No gateway answers there; the message says where and why."""


class GatewayRefused(Exception):
    """The gateway answered with an error; the message is its own. ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key or password to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


class GatewayClient:
    """One gateway, by its URL. ``key`` goes with every request: a client key or the password."""

    def __init__(self, url: str, key: Secret | None = None) -> None:
        """Raise ValueError for what is no URL of a gateway."""
        origin, path = split_url(url)
        if "?" in path:
            raise ValueError("a gateway's URL has no query")
        self.url = url.rstrip("/")
        self.key = key
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if is_loopback(origin.host):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make a request and return the JSON of its answer. Raises GatewayAway, GatewayRefused."""
        data = None if body is None else msgspec.json.encode(body)
        with self._open(method, path, data, CALL_TIMEOUT) as reply, self._reading():
            content = reply.read()
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise GatewayAway(f"{self.url} answers, but not like a gateway.") from None

    @contextlib.contextmanager
    def events(self, path: str, body: object) -> Iterator[Iterator[bytes]]:
        """Make a streaming request; give the data of its events as they come.

        Raises GatewayAway, GatewayRefused. Leaving the block hangs up.
        """
        data = msgspec.json.encode(body)
        with self._open("POST", path, data, ANSWER_TIMEOUT) as reply:
            yield self._data(reply)

    def _data(self, reply: http.client.HTTPResponse) -> Iterator[bytes]:
        with self._reading():
            for line in reply:
                if line.startswith(b"data:"):
                    yield line.removeprefix(b"data:").strip()

    @contextlib.contextmanager
    def _open(
        self, method: str, path: str, data: bytes | None, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        headers = {"User-Agent": f"chatgpt-to-api/{__version__}", "Accept": "*/*"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key.reveal()}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310  # split_url lets only http and https pass
        try:
            reply = self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, self.url) from None
        except (OSError, http.client.HTTPException) as error:
            raise GatewayAway(f"No gateway answers at {self.url}: {_why(error)}.") from None
        with reply:
            yield reply

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise GatewayAway(f"The answer of {self.url} broke off: {_why(error)}.") from None


def connect(url: str, key: Secret | None = None) -> GatewayClient:
    """Make a client, or end the command if ``url`` is none."""
    try:
        return GatewayClient(url if "://" in url else f"http://{url}", key)
    except ValueError as error:
        stop(Exit.USAGE, f"--url: {error}.")


@contextlib.contextmanager
def ending_on_errors() -> Iterator[None]:
    """End the command with a sentence and the right exit code when the gateway fails it."""
    try:
        yield
    except GatewayAway as error:
        stop(Exit.UNAVAILABLE, str(error))
    except GatewayRefused as error:
        stop(Exit.REFUSED, f"The gateway refused (status {error.status}): {error}")


def _refusal(error: urllib.error.HTTPError, url: str) -> GatewayRefused:
    body = b""
    with contextlib.suppress(OSError, http.client.HTTPException):
        body = error.read(_MAX_ERROR)
    media_type = (error.headers.get("content-type") or "").partition(";")[0].strip().lower()
    said = read_error_body(media_type, body)
    message = said.message
    if said.is_html or not message:
        message = f"{url} answered with status {error.code}" + (f": {message}" if message else ".")
    return GatewayRefused(for_terminal(message), error.code)


def _why(error: OSError | http.client.HTTPException) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    match reason:
        case ConnectionRefusedError():
            return "nothing listens there"
        case TimeoutError():
            return "it is silent for too long"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({reason.verify_message})"
        case OSError() if reason.strerror:
            return reason.strerror
    return str(reason) or type(reason).__name__


def local_url(host: str, port: int) -> str:
    """Return the URL under which this machine reaches a gateway that listens on ``host``."""
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
