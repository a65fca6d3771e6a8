"""The contracts every dialect keeps: doors on the client side, upstreams on the backend side.

Codecs are sans-IO: what they need of clocks, chance and credentials is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import Branch, ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply, HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access


def _at_once() -> float:
    return 0.0


class Stamp(msgspec.Struct, frozen=True):
    """Identity of one reply, made by the gateway: a unique hex ``id`` and Unix time in seconds.

    ``elapsed`` tells, whenever it is asked, the seconds since the request came: there are dialects
    that say how long an answer took.
    """

    id: str
    created: int
    elapsed: Callable[[], float] = _at_once


class Ids(Protocol):
    """A source of unique ids, handed to codecs that must put fresh ones on the wire."""

    def uuid4(self) -> str:
        """Return a fresh random UUID, version 4, as text."""
        ...


class Asked(Protocol):
    """One client request after its first, cheap, validating decode.

    ``affinity`` is a stable session key the dialect itself offers (``prompt_cache_key`` …) or b"";
    ``opening`` identifies the beginning of the conversation (system and first user message) and is
    b"" for a first turn, that is while no assistant turn is in the messages.
    """

    @property
    def model(self) -> str:
        """Name of the model asked for."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the reply is to be streamed."""
        ...

    @property
    def include_usage(self) -> bool:
        """Whether the client asked to see usage in its stream."""
        ...

    @property
    def n(self) -> int:
        """How many choices are asked for."""
        ...

    @property
    def affinity(self) -> bytes:
        """A stable session key the dialect itself offers, b"" without one."""
        ...

    @property
    def opening(self) -> bytes:
        """What identifies the conversation by its beginning, b"" for a first turn."""
        ...

    @property
    def untranslated(self) -> tuple[str, ...]:
        """Given parameters that have no canonical form, and that an answer does without."""
        ...

    def request(self) -> ChatRequest:
        """Translate lane: the whole request in canonical form. Raises InvalidRequest."""
        ...

    def needs(self) -> Needs:
        """What it needs of its upstream, for routes whose candidates cannot all do everything."""
        ...

    def may_need(self, feature: Feature) -> bool:
        """Whether it may ask for ``feature``; cheap, so that the relay lane needs no translation.

        No is certain. Yes is to be looked at in its canonical form.
        """
        ...

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:
        """Relay lane: the client's own JSON with only ``model`` and ``stream_options`` changed."""
        ...


@runtime_checkable
class LinksPictures(Asked, Protocol):
    """A request that can hold pictures by URL."""

    def linked_pictures(self) -> dict[str, str]:
        """The http(s) URLs of pictures, each with the path of its field."""
        ...

    def with_pictures(self, data: Mapping[str, str]) -> LinksPictures:
        """The request with those URLs replaced."""
        ...


@runtime_checkable
class AsksPrompts(Asked, Protocol):
    """A request that can hold several prompts; ``n`` counts the choices of all of them.

    The choices of a prompt are numbered one after the other, then come the next prompt's.
    """

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        ...

    @property
    def has_tokens(self) -> bool:
        """Whether a prompt is given as token ids."""
        ...

    def read_tokens(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Read them with ``decode``, which raises ValueError for ids that are no text."""
        ...

    def request_of(self, prompt: int) -> ChatRequest:
        """Translate lane: the request of one prompt. Raises InvalidRequest."""
        ...


@runtime_checkable
class AsksVectors(Asked, Protocol):
    """A request for embeddings: no chat, but texts that become vectors."""

    @property
    def has_tokens(self) -> bool:
        """Whether a text is given as token ids."""
        ...

    def read_tokens(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Read them with ``decode``, which raises ValueError for ids that are no text."""
        ...

    def vectors(self) -> VectorRequest:
        """The request in canonical form. Raises InvalidRequest, for unread token ids too."""
        ...

    def answered(self, vectors: Vectors, stamp: Stamp) -> HttpReply:
        """The whole reply, in the client's dialect."""
        ...


class VectorUpstream(Protocol):
    """The backend side of embeddings, for one configured upstream."""

    def ask_vectors(self, request: VectorRequest, model: str, access: Access) -> HttpRequest:
        """The call that asks for the vectors. Raises InvalidRequest for what it cannot be asked."""
        ...

    def read_vectors(self, head: ReplyHead, body: bytes) -> Vectors | UpstreamFault:
        """What a 2xx reply says, or means where it is none."""
        ...

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """What a non-2xx reply means. ``body`` is a bounded beginning; ``now`` is Unix time."""
        ...


class ReplyEncoder(Protocol):
    """Client side of one reply. A stream uses ``feed`` and ``end``, a whole reply ``complete``."""

    def headers(self) -> Headers:
        """Content type and the like of a streamed reply."""
        ...

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """All events of one read at once → bytes to send; terminal bytes come with the end."""
        ...

    def end(self) -> bytes:
        """Bytes that close a good stream (``data: [DONE]``) once every choice has finished."""
        ...

    def keep_alive(self) -> bytes:
        """Bytes that keep an idle stream open and mean nothing (an SSE comment)."""
        ...

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """The whole reply of a request that did not ask for a stream."""
        ...

    def failure(self, error: GatewayError) -> bytes:
        """The dialect's in-band error, once content has left; nothing follows it."""
        ...


@runtime_checkable
class FollowsRelayed(ReplyEncoder, Protocol):
    """An encoder whose error looks different behind content that was relayed.

    It is an array's item, or must not bring a second beginning.
    """

    def follow_relayed(self) -> None:
        """Content has left through the relay lane: what comes now stands behind it."""
        ...


class Door(Protocol):
    """Client side of a dialect."""

    dialect: str
    endpoint: str
    """The endpoint of an upstream that its requests are for: the first part of the path there."""

    def ask(self, head: RequestHead, body: bytes) -> Asked:
        """Decode and check a request. Raises InvalidRequest naming ``param``."""
        ...

    def reply(self, asked: Asked, stamp: Stamp) -> ReplyEncoder:
        """The encoder of this request's reply."""
        ...

    def failure(self, error: GatewayError) -> HttpReply:
        """A whole error reply; works before anything was decoded."""
        ...


class CountingDoor(Door, Protocol):
    """Client side of an endpoint that tells how long a prompt is."""

    def counted(self, tokens: int, how: str) -> HttpReply:
        """The reply for a count of the gateway's own; ``how`` says how it came about."""
        ...


CredentialEffect: TypeAlias = Literal["none", "invalid", "cool", "backoff"]
UpstreamEffect: TypeAlias = Literal["none", "cool", "count"]
Retry: TypeAlias = Literal["never", "next_credential", "again", "next_candidate"]


class UpstreamFault(msgspec.Struct, frozen=True, kw_only=True):
    """What a failed call means for the client, the credential, the upstream and the retry.

    ``credential``: ``invalid`` until replaced; ``cool`` for ``cool_for`` seconds; ``backoff``:
    cool with doubling waits because the upstream gave no time. ``only_model`` limits both to the
    model asked for. ``upstream``: ``cool`` the whole upstream for ``cool_for`` seconds, or
    ``count`` for its circuit breaker. ``retry``: ``never``; ``next_credential`` at once; ``again``
    with backoff (any credential, then the next candidate); ``next_candidate`` (this upstream is
    useless now). ``reason`` is a short phrase for people, kept with the cool-down; it never holds
    a secret. ``conversation_lost``: the backend does not have the conversation that the call was to
    go on with; the same question with its whole history is another one. ``seals_refused``: it
    cannot open what another server has sealed; the question without that is another one, too.
    ``outage``: the credential rests because a server is out of service, not because of a limit.
    """

    error: GatewayError
    reason: str
    credential: CredentialEffect = "none"
    upstream: UpstreamEffect = "none"
    retry: Retry = "never"
    cool_for: float | None = None
    only_model: bool = False
    conversation_lost: bool = False
    seals_refused: bool = False
    outage: bool = False


class ReplyDecoder(Protocol):
    """Backend side of one reply: bytes in, canonical events out; sans-IO.

    A decoder's failure is an event (``Failed``), never an exception. ``fault`` then says what that
    failure means for retries and the pool, where it came before any content.
    """

    @property
    def fault(self) -> UpstreamFault | None:
        """What a failure means, None while there is none."""
        ...

    def feed(self, data: bytes) -> list[ChatEvent]:
        """Take the next bytes, cut anywhere; any chunking gives the same meaning."""
        ...

    def eof(self) -> list[ChatEvent]:
        """The body has ended; a cut-off reply is a ``Failed``, never a quiet success."""
        ...

    @property
    def done(self) -> bool:
        """The dialect's own end was seen: nothing after it matters, do not wait for the close."""
        ...

    @property
    def revised(self) -> str | None:
        """The whole visible text, where it differs from the joined deltas (it was rewritten).

        A stream cannot take back what has left; a reply that was collected uses this instead.
        """
        ...

    @property
    def kept_at(self) -> Branch | None:
        """Where the backend keeps the answer; None where it keeps none, or has not said.

        The answer's own message is "" as long as it has not been named.
        """
        ...

    def follow_up(self) -> ChatRequest | None:
        """A truncated answer to be continued on the same lease, or None.

        Asked after a good end. While it is not None, the end (BlockEnded, Finished) is held back: a
        decoder for the follow-up, made with that request, goes on where this one stopped.
        """
        ...

    def conclude(self) -> list[ChatEvent]:
        """The end that was held back, once no follow-up is made; [] where nothing was held."""
        ...


class Passed(msgspec.Struct, frozen=True):
    """What one read of a relayed reply means. ``data`` goes to the client (may be empty)."""

    data: bytes
    content: bool = False
    failed: GatewayError | None = None


class WholeFacts(msgspec.Struct, frozen=True):
    """What a relayed reply that came whole says: its usage, the model that answered ("": not said).

    ``fault``: it is an error in spite of its status, and not to be passed on.
    """

    usage: Usage | None = None
    model: str = ""
    fault: UpstreamFault | None = None


class Scanner(Protocol):
    """Relay lane: reads along a same-dialect stream and passes its bytes on.

    Before the first content an in-band error is reported by ``failed`` (and ``fault``) and not
    passed on. ``data`` always ends at an event border, so the gateway may put an error event or a
    keep-alive after it.
    """

    @property
    def usage(self) -> Usage | None:
        """The usage that was reported so far."""
        ...

    @property
    def model(self) -> str:
        """The model that really answers, "" until it was said."""
        ...

    @property
    def fault(self) -> UpstreamFault | None:
        """What a failure before the content means."""
        ...

    @property
    def done(self) -> bool:
        """Whether the dialect's own end was seen."""
        ...

    def feed(self, data: bytes) -> Passed:
        """Take the next bytes of the reply."""
        ...

    def eof(self) -> Passed:
        """The body has ended; without the dialect's end that is a failure."""
        ...


class Upstream(Protocol):
    """Backend side of a dialect, for one configured upstream: it knows its URL and options."""

    dialect: str

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Names (client's words) of given parameters this upstream cannot honour.

        Raises InvalidRequest for what would change the answer's meaning (an image it cannot see).
        """
        ...

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:
        """The call that asks ``request`` of ``model``, as named there, with ``access``."""
        ...

    def decoder(self, request: ChatRequest, head: ReplyHead) -> ReplyDecoder:
        """A decoder for a 2xx reply; a 200 that is JSON and not a stream is its business too."""
        ...

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """What a non-2xx reply means. ``body`` is a bounded beginning; ``now`` is Unix time."""
        ...


Ability: TypeAlias = Literal["chat", "embeddings", "tools", "images", "thinking"]
"""What a model can, as far as lists of models tell."""


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of an upstream's own list, as far as the list says.

    ``created`` is Unix time in seconds, ``context_length`` that of prompt and answer together in
    tokens. ``abilities``: None where nothing is said of them. ``version`` changes with the model.
    ``family``, ``size`` and ``quantization`` are words for people.
    """

    id: str
    created: float | None = None
    owned_by: str = ""
    title: str = ""
    context_length: int | None = None
    abilities: frozenset[Ability] | None = None
    version: str = ""
    family: str = ""
    size: str = ""
    quantization: str = ""


class ListsModels(Protocol):
    """The backend side of a dialect that can list its models, for one configured upstream."""

    def models_request(self, access: Access) -> HttpRequest:
        """The call that lists the models."""
        ...

    def read_models(self, body: bytes) -> Sequence[ListedModel]:
        """The models of a good reply's body. Raises ValueError for one that is no list.

        One entry that cannot be read does not hide the others.
        """
        ...

    def model_request(self, model: ListedModel, access: Access) -> HttpRequest | None:
        """The call that asks more about one model, None where the list has said it all."""
        ...

    def read_model(self, model: ListedModel, body: bytes) -> ListedModel:
        """The model with what a good reply says of it. Raises ValueError for one that is none."""
        ...


class RelayUpstream(Protocol):
    """The backend side of a dialect that can be relayed, for one configured upstream."""

    dialect: str

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """What a non-2xx reply means. ``body`` is a bounded beginning; ``now`` is Unix time."""
        ...

    def forward(
        self, body: bytes, access: Access, *, model: str, stream: bool, head: RequestHead
    ) -> HttpRequest:
        """The call that carries a relayed body.

        ``model`` is the upstream's name for the model, for dialects that say it in the path;
        ``head`` is the client's own, of which some dialects' headers belong to the request.
        """
        ...

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """What a whole 2xx reply says."""
        ...

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> Scanner:
        """Read along a stream; ``hide_usage`` drops the usage event the client did not ask for."""
        ...


class Unseals(RelayUpstream, Protocol):
    """A codec whose clients carry what servers have sealed from one turn to the next."""

    def unsealed(self, body: bytes) -> bytes | None:
        """A relayed body without the sealed thoughts in it; None where there are none."""
        ...
