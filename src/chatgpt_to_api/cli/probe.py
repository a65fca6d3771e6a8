"""Ask an upstream what it is, without asking a question of any model.

A conversation backend gets an empty request without a token: one that works says that the token is
missing. A vendor's server is asked for its model list. Verdicts on failures are those of
the dialects, the same ones a running gateway acts on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol, Self

import msgspec

from chatgpt_to_api import __version__
from chatgpt_to_api.cli.output import plural
from chatgpt_to_api.config.addresses import ADDRESSES
from chatgpt_to_api.config.list_files import parse_proxies
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import Kind, UpstreamSettings
from chatgpt_to_api.dialects.anthropic.upstream import MessagesUpstream
from chatgpt_to_api.dialects.contract import ListsModels, UpstreamFault
from chatgpt_to_api.dialects.conversation.faults import fault_of_reply
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.dialects.ollama.model_list import OllamaModels
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream
from chatgpt_to_api.errors import UpstreamChallenge, UpstreamDenied
from chatgpt_to_api.gateway.kinds.shared import outbound_proxy
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.environment import ProxyRules, is_loopback
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import Header, HttpRequest, ReplyHead, split_url
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.refresh import seed_of
from chatgpt_to_api.wire.secret import ANONYMOUS, MASK, TELLING, Access, scrubbed

LIMIT: Final = 15.0
"""Longest time one question may take, seconds."""

_MOST: Final = 256 * 1024
"""Most of a reply that is looked at, bytes."""

Level = Literal["ok", "note", "warning", "problem"]


class Answered(msgspec.Struct, frozen=True):
    """What an upstream's answer means, for people; ``advice`` says what to do about it."""

    level: Level
    says: str
    advice: str = ""


class Prober:
    """Asks upstreams, over the same transport and proxies as a gateway would."""

    def __init__(self, client: HttpClient, settings: Settings) -> None:
        self._client = client
        self._timeout = min(settings.limits.connect_timeout, LIMIT)
        self._rules = ProxyRules.from_environment(settings.proxy.environment())
        self._rotation = _first_proxy(Path(settings.data_dir))

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Make one for the length of a block."""
        client = HttpClient(asyncio.get_running_loop())
        try:
            yield cls(client, settings)
        finally:
            await client.close()

    async def conversation(self, upstream: UpstreamSettings) -> Answered:
        """Post an empty conversation without a token, and read the verdict."""
        request = _request(b"POST", upstream.base_url, upstream, ANONYMOUS, b"{}")
        reply = await self._ask(request, upstream, ANONYMOUS)
        return reply if isinstance(reply, Answered) else conversation_verdict(*reply)

    async def models(self, upstream: UpstreamSettings) -> Answered:
        """Ask a server for its models, with each of its keys; no refresh token is spent on it."""
        keys = [key for key in upstream.api_keys if seed_of(key) is None]
        if upstream.api_keys and not keys:
            return Answered("note", "not asked: that would spend a refresh token")
        vendor = _VENDORS.get(upstream.kind, _OPENAI)
        codec = vendor.codec(upstream.base_url)
        answers = []
        for key in keys or (None,):
            access = Access(token=key)
            reply = await self._ask(codec.models_request(access), upstream, access)
            answer = reply if isinstance(reply, Answered) else _verdict(vendor, codec, *reply)
            if key is not None and len(upstream.api_keys) > 1:
                says = f"key {key.masked}: {answer.says}"
                answer = msgspec.structs.replace(answer, says=says)
            answers.append(answer)
        return _worst(answers)

    async def token(self, upstream: UpstreamSettings, access: Access) -> Answered:
        """Ask a conversation backend for the models of one token: that costs no question."""
        base, slash, last = upstream.base_url.rpartition("/")
        if last != "conversation":
            return Answered("note", "the backend's URL does not tell where its model list is")
        if access.puid is None and upstream.puid is not None:
            access = Access(access.token, upstream.puid, access.account)
        try:
            request = _request(b"GET", f"{base}{slash}models", upstream, access, b"")
        except ValueError:
            return Answered("problem", "it holds a character that no header can hold")
        reply = await self._ask(request, upstream, access)
        if isinstance(reply, Answered):  # that says nothing about the token
            return Answered("warning", f"the backend is {reply.says}", reply.advice)
        return _token_verdict(*reply)

    async def _ask(
        self, request: HttpRequest, upstream: UpstreamSettings, access: Access
    ) -> tuple[ReplyHead, bytes] | Answered:
        """Return what came, without what was sent with ``access``: some servers repeat it."""
        proxy = outbound_proxy(upstream, self._rules)
        if upstream.proxy is None and self._rotation is not None:
            proxy = self._rotation
        if is_loopback(request.origin.host):
            proxy = None
        deadline = asyncio.get_running_loop().time() + LIMIT
        try:
            reply = await self._client.send(
                request,
                proxy=proxy,
                connect_timeout=self._timeout,
                read_timeout=LIMIT,
                deadline=deadline,
            )
            try:
                body = bytearray()
                while len(body) < _MOST and (data := await reply.read()):
                    body += data
            finally:
                reply.close()
        except TransportError as error:
            way = f" through the proxy {proxy}" if proxy is not None else ""
            return Answered(
                "problem",
                f"not reachable{way}: {error.message}",
                "Check the URL, that the server runs, and the proxies (config show).",
            )
        for secret in (access.token, access.puid, *upstream.headers.values()):
            if secret and len(secret.reveal()) >= TELLING:
                body = body.replace(secret.reveal().encode(), MASK.encode())
        return reply.head, bytes(body)


def conversation_verdict(head: ReplyHead, body: bytes) -> Answered:
    """Say what a backend is that answers so to an empty conversation without a token."""
    said = read_error_body(head.content_type, body)
    words = scrubbed(said.message)[:120]
    is_json = body.lstrip()[:1] in (b"{", b"[")
    quoted = f" ({words})" if words else ""
    fault = fault_of_reply(head, body, time.time())
    match head.status:
        case status if status < 300 and said.is_html:
            return _page(status, quoted)
        case status if status < 300 and not is_json:
            return Answered(
                "warning",
                f"answers {status} to an empty question without a token; that is no conversation "
                "backend's way",
                "Make sure that the URL is the whole URL of POST …/conversation.",
            )
        case status if status < 300 and not words:
            return Answered("note", f"answers {status} without a token: it may need none")
        case 401 if is_json and said.kind is not None and "detail" not in said.fields:
            return Answered(
                "warning",
                f"speaks like an OpenAI-compatible API{quoted}",
                "If it is one, set OPENAI_BASE_URL instead of API_REVERSE_PROXY.",
            )
        case status if is_json and (status == 401 or "token" in words.lower()):
            return Answered("ok", f"speaks the conversation protocol{quoted}: works")
        case 400 | 422 if is_json:
            return Answered("ok", f"speaks the conversation protocol, and wants no token{quoted}")
        case 401:
            return Answered(
                "warning",
                f"wants a log-in of its own (status 401{', ' + words if words else ''})",
                "If a proxy stands before the backend, give its header in "
                "[upstreams.conversation.headers].",
            )
    if isinstance(fault.error, UpstreamChallenge):
        return Answered(
            "problem",
            f"challenge page: this address is refused (status {head.status}{quoted})",
            "Nothing is wrong with the tokens. Use another outbound proxy (proxies.txt) or a "
            "reverse proxy of your choice (API_REVERSE_PROXY).",
        )
    level: Level = "warning" if head.status == 429 else "problem"
    advice = ""
    if head.status in (404, 405):
        advice = "Make sure that the URL is the whole URL of POST …/conversation."
    return Answered(level, fault.error.message + (f" It says: {words}" if words else ""), advice)


def _page(status: int, quoted: str) -> Answered:
    """Say what a web page with a good status means; the gateway takes it for a challenge, too."""
    return Answered(
        "problem",
        f"challenge page: a web page answers in its place (status {status}{quoted})",
        "If the URL is right, something before it refuses this address: use another outbound "
        "proxy (proxies.txt) or another server.",
    )


def _verdict(vendor: _Vendor, codec: _Lists, head: ReplyHead, body: bytes) -> Answered:
    """Say what a server is that answers so to a question for its models."""
    if head.status == 200:
        try:
            listed = codec.read_models(body)
        except ValueError:
            said = read_error_body(head.content_type, body)
            if said.is_html:
                title = scrubbed(said.message)[:120]
                return _page(head.status, f" ({title})" if title else "")
            return Answered(
                "warning",
                f"answers 200 to GET {vendor.path}, but with no list of models",
                f"Make sure that the URL is {vendor.address}.",
            )
        return Answered("ok", f"speaks {vendor.api}: works, {plural(len(listed), 'model')}")
    fault = codec.fault(head, body, time.time())
    words = scrubbed(fault.error.said)[:120]
    says = f"answers {head.status} to GET {vendor.path}" + (f" ({words})" if words else "")
    if isinstance(fault.error, UpstreamChallenge):
        return Answered(
            "problem",
            f"challenge page: this address is refused (status {head.status})",
            "Use another outbound proxy, or another server.",
        )
    if isinstance(fault.error, UpstreamDenied):
        return Answered("problem", f"{says}: the key is refused", "Give it a key that it accepts.")
    if head.status in (404, 405):
        return Answered(
            "warning",
            f"{says}: the path is wrong, or it lists no models",
            f"The URL is {vendor.address}.",
        )
    return Answered("problem", f"{says}. {fault.error.message}")


class _Lists(ListsModels, Protocol):
    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault: ...


class _Vendor(msgspec.Struct, frozen=True):
    """How to ask a vendor's server for its models, and what to call that."""

    codec: Callable[[str], _Lists]
    api: str
    path: str
    address: str


_OPENAI: Final = _Vendor(
    ChatUpstream,
    "the OpenAI API",
    "/models",
    ADDRESSES["openai"],
)
_VENDORS: Final[Mapping[Kind, _Vendor]] = {
    "openai-responses": _Vendor(
        ResponsesUpstream,
        "the OpenAI API",
        "/models",
        ADDRESSES["openai-responses"],
    ),
    "anthropic": _Vendor(
        MessagesUpstream,
        "Anthropic's API",
        "/v1/models",
        ADDRESSES["anthropic"],
    ),
    "gemini": _Vendor(
        GeminiUpstream,
        "Google's Gemini API",
        "/models",
        ADDRESSES["gemini"],
    ),
    "ollama": _Vendor(
        lambda url: OllamaModels(OllamaServer(url)),
        "Ollama's API",
        "/api/tags",
        ADDRESSES["ollama"],
    ),
}


def _token_verdict(head: ReplyHead, body: bytes) -> Answered:
    if head.status == 200:
        is_json = body.lstrip()[:1] == b"{"
        return (
            Answered("ok", "the backend accepts it")
            if is_json
            else Answered("note", "the backend answers with something else than a model list")
        )
    fault = fault_of_reply(head, body, time.time())
    if fault.credential == "invalid":
        words = scrubbed(fault.error.said)[:120]
        return Answered("problem", "the backend refuses it" + (f": {words}" if words else ""))
    if isinstance(fault.error, UpstreamDenied):
        return Answered("problem", fault.reason)
    if head.status in (404, 405, 501):
        return Answered("note", "the backend has no model list to ask for")
    return Answered("note", f"the backend did not say: {fault.reason}")


def _request(
    method: bytes, url: str, upstream: UpstreamSettings, access: Access, body: bytes
) -> HttpRequest:
    """Make a request as the codec would. Raises ValueError for what no header can hold."""
    origin, target = split_url(url)
    given = {name.lower(): value for name, value in upstream.headers.items()}
    cookies = [value.reveal().rstrip("; ") for value in (given.pop("cookie", None),) if value]
    headers: dict[str, str] = {
        "content-type": "application/json",
        "accept": "application/json" if method == b"GET" else "text/event-stream",
        "accept-encoding": "identity",
        "user-agent": f"chatgpt-to-api/{__version__}",
        **{name: value.reveal() for name, value in given.items()},
    }
    if access.token is not None:
        headers["authorization"] = f"Bearer {access.token.reveal()}"
    if access.puid is not None:
        cookies.append(f"_puid={access.puid.reveal()}")
    if cookies:
        headers["cookie"] = "; ".join(cookies)
    if access.account is not None:
        headers["chatgpt-account-id"] = access.account
    if not all(text.isascii() and text.isprintable() for text in headers.values()):
        raise ValueError("a header holds a character that none can hold")
    fields: list[Header] = [(name.encode(), text.encode()) for name, text in headers.items()]
    return HttpRequest(method, origin, target.encode(), fields, body)


def _worst(answers: list[Answered]) -> Answered:
    """Return the worst answer; if all are alike, the first."""
    order: tuple[Level, ...] = ("problem", "warning", "note", "ok")
    return min(answers, key=lambda answer: order.index(answer.level))


def _first_proxy(folder: Path) -> Proxy | None:
    """Return the first proxy of proxies.txt, None without one."""
    try:
        content = Path(folder, "proxies.txt").read_bytes()
    except OSError:
        return None
    return next(iter(parse_proxies(content).proxies), None)
