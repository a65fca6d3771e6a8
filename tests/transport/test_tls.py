"""TLS: certificates are verified, and a refusal says why."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
import trustme

from chatgpt_to_api.transport.errors import ConnectFailed, ConnectionBroken
from support.calls import Caller, held_back, whole
from support.raw_server import Peer, RawServer, answering, chunked, http_reply


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that ``SSL_CERT_FILE`` names, so that it is the only one trusted."""
    authority = trustme.CA()
    store = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(store))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return authority


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_a_trusted_server_is_spoken_to_and_its_connection_kept(
    call: Caller, authority: trustme.CA
) -> None:
    """Name and address certificates work, replies of any framing, on one kept connection."""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"two")
    replies = (http_reply(b"one"), chunks)
    tls = serving(authority, "localhost", "127.0.0.1")
    async with RawServer(answering(*replies), tls=tls) as server:
        assert await call.text(server.port, scheme="https", host="localhost") == b"one"
        assert await call.text(server.port, scheme="https", host="localhost") == b"two"
        assert server.connections == 1
        assert await call.text(server.port, scheme="https") == b"one"


async def test_the_server_sees_the_name_and_http_1_1(call: Caller, authority: trustme.CA) -> None:
    """SNI carries the origin's host, and ALPN offers HTTP/1.1 only."""
    seen: list[str | None] = []
    tls = serving(authority, "localhost")
    tls.sni_callback = lambda _sock, name, _context: seen.append(name)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    chosen: list[str | None] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        chosen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await peer.send(http_reply())

    async with RawServer(script, tls=tls) as server:
        await call.text(server.port, scheme="https", host="localhost")
    assert (seen, chosen) == (["localhost"], ["http/1.1"])


async def test_an_unknown_authority_is_refused(call: Caller, authority: trustme.CA) -> None:
    """A certificate of another authority is not accepted; the error shows a way out."""
    stranger = trustme.CA()
    async with RawServer(answering(http_reply()), tls=serving(stranger, "localhost")) as server:
        with pytest.raises(
            ConnectFailed, match=r"certificate not accepted: .*SSL_CERT_FILE"
        ) as caught:
            await call(server.port, scheme="https", host="localhost")
        assert not caught.value.sent_anything
        assert not caught.value.at_proxy
        await server.quiet()


async def test_an_expired_certificate_is_refused(call: Caller, authority: trustme.CA) -> None:
    """A certificate that ran out is not accepted."""
    past = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expired = authority.issue_cert("localhost", not_before=past, not_after=past.replace(year=2002))
    expired.configure_cert(tls)
    async with RawServer(answering(http_reply()), tls=tls) as server:
        with pytest.raises(ConnectFailed, match="not accepted: certificate has expired"):
            await call(server.port, scheme="https", host="localhost")


async def test_a_certificate_for_another_host_is_refused(
    call: Caller, authority: trustme.CA
) -> None:
    """A good certificate of somebody else is not accepted."""
    tls = serving(authority, "elsewhere.example")
    async with RawServer(answering(http_reply()), tls=tls) as server:
        with pytest.raises(ConnectFailed, match=r"[Hh]ostname mismatch"):
            await call(server.port, scheme="https", host="localhost")
        with pytest.raises(ConnectFailed, match=r"IP address mismatch"):
            await call(server.port, scheme="https")


async def test_a_server_that_speaks_no_tls_is_told_apart(
    call: Caller, authority: trustme.CA
) -> None:
    """https to a plain HTTP port says that it is no TLS, not something about certificates."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawServer(script) as server:
        with pytest.raises(ConnectFailed, match="does not speak TLS"):
            await call(server.port, scheme="https")


async def test_a_server_that_hangs_up_during_the_handshake(
    call: Caller, authority: trustme.CA
) -> None:
    """A connection closed amid the handshake is a failed connect, not a broken reply."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)

    async with RawServer(script) as server:
        with pytest.raises(ConnectFailed) as caught:
            await call(server.port, scheme="https")
        assert not caught.value.sent_anything


async def test_a_handshake_that_never_ends_is_within_the_connect_timeout(
    call: Caller, authority: trustme.CA
) -> None:
    """The connect timeout covers TLS."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(ConnectFailed, match=r"no connection within 0\.1 s"):
            await call(server.port, scheme="https", connect_timeout=0.1)
        await server.quiet()


async def test_a_cut_reply_over_tls_is_broken(call: Caller, authority: trustme.CA) -> None:
    """A close amid a framed body is an error over TLS too."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(b"12345")[:-2])

    async with RawServer(script, tls=serving(authority, "127.0.0.1")) as server:
        reply = await call(server.port, scheme="https")
        with pytest.raises(ConnectionBroken):  # noqa: PT012
            while await reply.read():
                pass


async def test_a_slow_reader_stops_the_upstream_over_tls(
    call: Caller, authority: trustme.CA
) -> None:
    """A large body read late arrives whole through TLS, and the connection serves again."""
    body = bytes(range(256)) * 65536
    tls = serving(authority, "127.0.0.1")
    async with RawServer(answering(http_reply(body), http_reply(b"next")), tls=tls) as server:
        reply = await call(server.port, scheme="https")
        await held_back(reply)
        assert reply.size < len(body) / 2
        assert await whole(reply) == body
        assert await call.text(server.port, scheme="https") == b"next"
        assert server.connections == 1
