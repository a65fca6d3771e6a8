"""Outbound proxies: HTTP with tunnels and absolute form, HTTPS, SOCKS5; and who is to blame."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path

import pytest
import trustme

from chatgpt_to_api.transport.errors import ConnectFailed
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.secret import Secret
from support.calls import Caller
from support.proxies import HttpProxy, Socks5Proxy, dead_end
from support.raw_server import Peer, RawServer, answering, http_reply

NAME = "upstream.example"  # resolves nowhere: only the proxies know it


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context for NAME and for proxies on 127.0.0.1, trusted by the client."""
    authority = trustme.CA()
    store = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(store))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, "127.0.0.1").configure_cert(context)
    return context


def at(server: RawServer, kind: str = "http", user: str | None = None, word: str = "") -> Proxy:
    secret = None if user is None else Secret(word)
    return Proxy(kind, "127.0.0.1", server.port, user, secret)  # type: ignore[arg-type]


async def test_https_goes_through_a_tunnel(call: Caller, tls: ssl.SSLContext) -> None:
    """CONNECT with the origin's name, TLS with the origin itself, and the tunnel is kept."""

    async def script(peer: Peer) -> None:
        while True:
            server.requests.append(await peer.request())
            await peer.send(http_reply(b"through"))

    async with RawServer(script, tls=tls) as server, HttpProxy() as proxy:
        for _ in range(2):
            body = await call.text(server.port, scheme="https", host=NAME, proxy=at(proxy))
            assert body == b"through"
        assert proxy.asked == [(b"CONNECT %b:%d HTTP/1.1" % (NAME.encode(), server.port), None)]
        assert server.requests[0].headers[b"host"] == b"%b:%d" % (NAME.encode(), server.port)
        assert server.requests[0].line == b"GET / HTTP/1.1"


async def test_http_is_asked_of_the_proxy_in_absolute_form(call: Caller) -> None:
    """A plain origin's whole URL stands in the request line, its host in the Host header."""
    async with RawServer(answering(http_reply(b"through"))) as server, HttpProxy() as proxy:
        body = await call.text(server.port, host=NAME, target=b"/a?b=c", proxy=at(proxy))
        assert body == b"through"
        line = b"GET http://%b:%d/a?b=c HTTP/1.1" % (NAME.encode(), server.port)
        assert proxy.asked == [(line, None)]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_gets_its_credentials_and_the_origin_does_not(
    call: Caller, tls: ssl.SSLContext, scheme: str
) -> None:
    """Proxy-Authorization goes to the proxy only; the reply comes through."""

    async def script(peer: Peer) -> None:
        server.requests.append(await peer.request())
        await peer.send(http_reply(b"through"))

    async with (
        RawServer(script, tls=tls if scheme == "https" else None) as server,
        HttpProxy(credentials="ann:pä:ss") as proxy,
    ):
        how = at(proxy, user="ann", word="pä:ss")
        assert await call.text(server.port, scheme=scheme, host=NAME, proxy=how) == b"through"
        if scheme == "https":
            assert b"proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_other_credentials_is_to_blame(
    call: Caller, tls: ssl.SSLContext, scheme: str
) -> None:
    """407 is the proxy's, never taken for the upstream's answer; no credential is in the error."""
    async with (
        RawServer(answering(http_reply()), tls=tls) as server,
        HttpProxy(credentials="ann:right") as proxy,
    ):
        how = at(proxy, user="ann", word="wr0ng")
        with pytest.raises(ConnectFailed, match="wants a user and password") as caught:
            await call(server.port, scheme=scheme, host=NAME, proxy=how)
        assert caught.value.at_proxy
        assert str(how) in str(caught.value)
        assert "wr0ng" not in str(caught.value) and "ann" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "at_proxy"), [(b"403 Forbidden", True), (b"502 Bad Gateway", False)]
)
async def test_a_refused_tunnel_says_who_failed(
    call: Caller, tls: ssl.SSLContext, status: bytes, at_proxy: bool
) -> None:
    """A proxy that will not is told apart from one that cannot reach the origin."""
    async with HttpProxy(refusal=status) as proxy:
        with pytest.raises(ConnectFailed, match=f"status {status[:3].decode()}") as caught:
            await call(443, scheme="https", host=NAME, proxy=at(proxy))
        assert caught.value.at_proxy is at_proxy
        assert not caught.value.sent_anything
        await proxy.quiet()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_can_be_reached_over_tls(
    call: Caller, tls: ssl.SSLContext, scheme: str
) -> None:
    """An https proxy is verified like any server; https origins are TLS inside TLS."""
    inner = tls if scheme == "https" else None
    async with (
        RawServer(answering(http_reply(b"through")), tls=inner) as server,
        HttpProxy(tls=tls) as proxy,
    ):
        for _ in range(2):
            body = await call.text(
                server.port, scheme=scheme, host=NAME, proxy=at(proxy, kind="https")
            )
            assert body == b"through"
        assert proxy.connections == 1


async def test_the_origin_behind_a_tunnel_is_verified(call: Caller, tls: ssl.SSLContext) -> None:
    """A proxy that answers in the origin's place is found out by its certificate."""
    async with RawServer(answering(http_reply()), tls=tls) as server, HttpProxy() as proxy:
        with pytest.raises(ConnectFailed, match="mismatch") as caught:
            await call(server.port, scheme="https", host="other.example", proxy=at(proxy))
        assert not caught.value.at_proxy
        await server.quiet()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "bytes of its own"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 9999, "endless head"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection instead"),
        (b"", "closed the connection instead"),
    ],
)
async def test_a_proxy_that_talks_nonsense_is_refused(
    call: Caller, tls: ssl.SSLContext, answer: bytes, message: str
) -> None:
    """Odd answers to CONNECT end the attempt; nothing a proxy says is taken for the origin's."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    async with RawServer(script) as proxy:
        with pytest.raises(ConnectFailed, match=message) as caught:
            await call(443, scheme="https", host=NAME, proxy=at(proxy))
        assert caught.value.at_proxy


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("credentials", [None, ("ann", "secret")])
async def test_socks5_carries_both_schemes_and_resolves_names_there(
    call: Caller, tls: ssl.SSLContext, scheme: str, credentials: tuple[str, str] | None
) -> None:
    """The proxy is asked for the name itself, with user and password where it wants them."""
    inner = tls if scheme == "https" else None
    async with (
        RawServer(answering(http_reply(b"through")), tls=inner) as server,
        Socks5Proxy(credentials=credentials) as proxy,
    ):
        user, word = credentials or (None, "")
        how = at(proxy, "socks5", user, word)
        for _ in range(2):
            assert await call.text(server.port, scheme=scheme, host=NAME, proxy=how) == b"through"
        assert proxy.asked == [NAME]


@pytest.mark.parametrize(("code", "at_proxy"), [(1, True), (2, True), (4, False), (5, False)])
async def test_a_socks5_refusal_says_who_failed(call: Caller, code: int, at_proxy: bool) -> None:
    """An unreachable or refusing target is not the proxy's fault; anything else is."""
    async with Socks5Proxy(code=code) as proxy:
        with pytest.raises(ConnectFailed, match=f"did not connect to http://{NAME}") as caught:
            await call(80, host=NAME, proxy=at(proxy, "socks5"))
        assert caught.value.at_proxy is at_proxy
        await proxy.quiet()


@pytest.mark.parametrize("user", ["ann", None])
async def test_a_socks5_proxy_that_wants_other_credentials_is_to_blame(
    call: Caller, user: str | None
) -> None:
    """A refused log-in, or none where one is wanted, names the proxy and no secret."""
    async with Socks5Proxy(credentials=("ann", "right")) as proxy:
        with pytest.raises(ConnectFailed, match=str(at(proxy, "socks5"))) as caught:
            await call(80, host=NAME, proxy=at(proxy, "socks5", user, "wr0ng"))
        assert caught.value.at_proxy
        assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05", b"\x05\x00\x05\x00\x00\x09??????", b""]
)
async def test_something_else_on_the_socks_port_is_refused(call: Caller, answer: bytes) -> None:
    """What is no SOCKS5 answer ends the attempt with an error about the proxy."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(answer)

    async with RawServer(script) as proxy:
        with pytest.raises(ConnectFailed, match="the proxy socks5://") as caught:
            await call(80, host=NAME, proxy=at(proxy, "socks5"))
        assert caught.value.at_proxy


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [("http", "https"), ("https", "https"), ("https", "http"), ("socks5", "http")],
)
async def test_a_proxy_that_hangs_is_within_the_connect_timeout(
    call: Caller, tls: ssl.SSLContext, kind: str, scheme: str
) -> None:
    """The connect timeout covers the whole handshake with a proxy; nothing stays open."""
    async with RawServer(dead_end()) as proxy:
        with pytest.raises(ConnectFailed, match=r"no connection within 0\.1 s") as caught:
            await call(443, scheme=scheme, host=NAME, proxy=at(proxy, kind), connect_timeout=0.1)
        assert caught.value.errno == errno.ETIMEDOUT
        await proxy.quiet()


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
async def test_a_proxy_that_is_not_there_is_to_blame(
    call: Caller, tls: ssl.SSLContext, unused_port: int, kind: str
) -> None:
    """A refused connection to a proxy names the proxy."""
    how = Proxy(kind, "127.0.0.1", unused_port)  # type: ignore[arg-type]
    with pytest.raises(ConnectFailed, match=r"the proxy .*refused") as caught:
        await call(443, scheme="https", host=NAME, proxy=how)
    assert caught.value.at_proxy
    assert caught.value.errno is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_always_direct(call: Caller, unused_port: int, host: str) -> None:
    """Whatever proxy is asked for, this machine is reached without it."""
    async with RawServer(answering(http_reply(b"direct"))) as server:
        how = Proxy("http", "127.0.0.1", unused_port)
        assert await call.text(server.port, host=host, proxy=how) == b"direct"


async def test_connections_of_different_proxies_are_not_shared(call: Caller) -> None:
    """Two credentials with a proxy each never meet on one connection."""
    async with (
        RawServer(answering(http_reply(b"x"))) as server,
        HttpProxy() as one,
        HttpProxy() as two,
    ):
        for proxy in (one, two, one):
            assert await call.text(server.port, host=NAME, proxy=at(proxy)) == b"x"
        assert (one.connections, two.connections) == (1, 1)
