"""The backend side of the conversation protocol: a chat in, one ``POST …/conversation`` out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    NamedTool,
    Sampling,
)
from chatgpt_to_api.dialects.contract import Ids, UpstreamFault
from chatgpt_to_api.dialects.conversation.decoder import ConversationDecoder
from chatgpt_to_api.dialects.conversation.faults import fault_of_reply
from chatgpt_to_api.dialects.conversation.messages import (
    DIALECT,
    TEXT,
    AskedAuthor,
    AskedContent,
    AskedMessage,
    ConversationRequest,
)
from chatgpt_to_api.dialects.conversation.transcript import added, check_parts, merged, spoken
from chatgpt_to_api.errors import InvalidRequest, UpstreamDenied
from chatgpt_to_api.wire.http import Header, HttpRequest, ReplyHead, split_url
from chatgpt_to_api.wire.secret import Access, Secret

DEFAULT_MODEL: Final = "text-davinci-002-render-sha"

MODEL_MAP: Final[Mapping[str, str]] = {
    "gpt-3.5-turbo*": DEFAULT_MODEL,
    "gpt-4-[0-9]*": "gpt-4",
    "gpt-4o-mini-20*": "gpt-4o-mini",
    "gpt-4o-20*": "gpt-4o",
    "chatgpt-4o-latest": "gpt-4o",
}
"""API names the web backend never had, and what is nearest there. Any other name goes unchanged:
the backend's own names are opaque, and new ones come faster than tables are mended."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset(
    {
        "authorization",
        "chatgpt-account-id",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)
_SENDABLE: Final = bytes(range(0x21, 0x7F)).replace(b";", b"")
_MAX_SLUGS: Final = 256
_NO_SAMPLING: Final = Sampling()
_SAMPLING: Final = Sampling.__struct_fields__


class ConversationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one conversation backend is used.

    ``history``: the backend keeps the conversations. ``puid`` is for tokens that bring none.
    ``system_mapping``: ``merge`` tells the whole chat in one user message; ``critic`` and
    ``system`` send a message per message, system ones in that role. ``model_map`` (names or globs)
    comes before the built-in table. ``headers`` are added to every request, as they are.
    """

    history: bool = False
    puid: Secret | None = None
    system_mapping: Literal["merge", "critic", "system"] = "merge"
    model_map: Mapping[str, str] = {}
    headers: Mapping[str, Secret] = {}
    user_agent: str = "chatgpt-to-api"


class ConversationUpstream:
    """A conversation backend at the URL of its ``POST …/conversation``."""

    dialect = DIALECT

    def __init__(self, url: str, options: ConversationOptions) -> None:
        """Raise ValueError, without values, for a URL or header that cannot be."""
        self._origin, target = split_url(url)
        self._target = target.encode()
        self._options = options
        self._names: list[tuple[str, str]] = [*options.model_map.items(), *MODEL_MAP.items()]
        self._slugs: dict[str, str] = {}
        extra = {name.lower(): value for name, value in options.headers.items()}
        self._cookie = extra.pop("cookie", None)
        self._headers: tuple[Header, ...] = (
            (b"content-type", b"application/json"),
            (b"accept", b"text/event-stream"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", options.user_agent.encode("latin-1")),
        )
        given = tuple((_name(name), _value(name, value)) for name, value in extra.items())
        replaced = {name for name, _ in given}
        self._headers = (*(h for h in self._headers if h[0] not in replaced), *given)
        if self._cookie is not None:
            _value("cookie", self._cookie)
        if options.puid is not None:
            _value("puid", options.puid)

    # -- what is asked -----------------------------------------------------------------------------

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Names of given parameters that the protocol has no place for.

        Raises InvalidRequest for what would change the answer's meaning: images, sound, files, a
        tool that must be called, a schema that must be kept, an answer that is not text.
        """
        check_parts(request.messages)
        _check_demands(request)
        names: list[str] = []
        if request.sampling != _NO_SAMPLING:
            names += (name for name in _SAMPLING if getattr(request.sampling, name) is not None)
        if request.tools and request.tool_choice != "none":
            names.append("tools")
            if request.tool_choice is not None:
                names.append("tool_choice")
            if request.parallel_tool_calls is not None:
                names.append("parallel_tool_calls")
        if request.json is not None:
            names.append("response_format")
        names += (
            name
            for name in ("reasoning_effort", "reasoning_budget", "user", "prompt_cache_key")
            if getattr(request, name) is not None
        )
        if request.extras:
            names += request.left_out(request.extras)
        return tuple(dict.fromkeys(map(request.named, names))) if names else ()

    def model(self, name: str) -> str:
        """What the backend calls the model that is asked for as ``name``."""
        slug = self._slugs.get(name)
        if slug is None:
            found = (slug for pattern, slug in self._names if fnmatchcase(name, pattern))
            slug = next(found, name or DEFAULT_MODEL)
            if len(self._slugs) < _MAX_SLUGS:  # the names come from callers
                self._slugs[name] = slug
        return slug

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:
        """The call that asks ``request`` of ``model``.

        Raises InvalidRequest for what is no text, UpstreamDenied for a credential that cannot
        stand in a header.
        """
        slug = self.model(model)
        no_history = not self._options.history
        continuation = request.continuation
        if continuation is not None:
            body = ConversationRequest(
                action="continue",
                conversation_id=continuation.conversation_id,
                parent_message_id=continuation.message_id,
                model=slug,
                history_and_training_disabled=no_history,
            )
        else:
            branch = request.branch
            body = ConversationRequest(
                action="next",
                messages=self._messages(request, ids),
                conversation_id=branch.conversation_id if branch is not None else None,
                parent_message_id=branch.parent_message_id if branch is not None else ids.uuid4(),
                model=slug,
                history_and_training_disabled=no_history,
            )
        return HttpRequest(
            b"POST",
            self._origin,
            self._target,
            [*self._headers, *self._secrets(access)],
            msgspec.json.encode(body),
        )

    def _messages(self, request: ChatRequest, ids: Ids) -> list[AskedMessage]:
        messages = request.messages
        if self._options.system_mapping == "merge":
            text = merged(messages) if request.branch is None else added(messages)
            return [_asked(ids, AskedAuthor("user"), text)]
        roles = {
            "system": self._options.system_mapping,
            "developer": self._options.system_mapping,
        }
        return [
            _asked(
                ids,
                AskedAuthor(roles.get(message.role, message.role), message.name),
                spoken(message, index),
            )
            for index, message in enumerate(messages)
        ]

    def _secrets(self, access: Access) -> list[Header]:
        found: list[Header] = []
        if access.token is not None:
            found.append((b"authorization", b"Bearer " + _sent(access.token.reveal(), "token")))
        puid = access.puid if access.puid is not None else self._options.puid
        cookies = [] if self._cookie is None else [self._cookie.reveal().encode().rstrip(b"; ")]
        if puid is not None:
            cookies.append(b"_puid=%b;" % _sent(puid.reveal(), "puid"))
        if cookies:
            found.append((b"cookie", b"; ".join(cookies)))
        if access.account is not None:
            found.append((b"chatgpt-account-id", _sent(access.account, "account")))
        return found

    def hiding(self, conversation_id: str, access: Access) -> HttpRequest:
        """The call that takes a conversation out of the account's list."""
        path, question, query = self._target.partition(b"?")
        target = path.rstrip(b"/") + b"/" + quote(conversation_id, safe="").encode()
        return HttpRequest(
            b"PATCH",
            self._origin,
            target + question + query,
            [*self._headers, *self._secrets(access)],
            b'{"is_visible":false}',
        )

    # -- what is answered --------------------------------------------------------------------------

    def decoder(self, request: ChatRequest, head: ReplyHead) -> ConversationDecoder:
        """A decoder for a reply with status 200, whatever its body then is."""
        return ConversationDecoder(request, head)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """What a reply without success means."""
        return fault_of_reply(head, body, now)


def _asked(ids: Ids, author: AskedAuthor, text: str) -> AskedMessage:
    content = AskedContent(TEXT, [text])
    return AskedMessage(id=ids.uuid4(), author=author, content=content, metadata={})


def _check_demands(request: ChatRequest) -> None:
    """Refuse what the answer would have to be, and could only be by chance."""
    choice = request.tool_choice
    must = choice == "required" or isinstance(choice, NamedTool)
    if must or (isinstance(choice, AllowedTools) and choice.mode == "required"):
        raise _demand(request.named("tool_choice"), "cannot be made to call a tool")
    if request.json is not None and request.json.schema is not None and request.json.strict:
        raise _demand("response_format", "cannot be made to keep to a schema")
    modalities: Any = request.extras.get("modalities")
    if isinstance(modalities, list | tuple) and any(m != "text" for m in modalities):
        raise _demand("modalities", "answers with text only")


def _demand(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The conversation backend {what}, as '{param}' demands.",
        param=param,
        code="unsupported_parameter",
    )


# -- header values ---------------------------------------------------------------------------------


def _name(name: str) -> bytes:
    if not _HEADER_NAME.fullmatch(name) or name in _OURS:
        raise ValueError(f"the header {name[:64]!r} cannot be set")
    return name.encode()


def _value(name: str, value: Secret) -> bytes:
    text = value.reveal()
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"the value of {name!r} holds a character that no header can hold")
    return text.encode()


def _sent(text: str, what: str) -> bytes:
    """Encode a credential for a header: nothing in it may end the header or begin another."""
    sent = text.encode() if text.isascii() else b""
    if not sent or sent.translate(None, _SENDABLE):  # what is left is not to be sent
        raise UpstreamDenied(
            f"The credential cannot be sent: its {what} is empty or holds a character that no "
            "header can hold. It has to be replaced."
        )
    return sent
