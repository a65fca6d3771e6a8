"""One credential: what it is, what state it is in, and where it stands in line."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from chatgpt_to_api.pool.contract import CredentialState
from chatgpt_to_api.pool.cooldown import Cooldown
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.secret import Access, Secret

if TYPE_CHECKING:
    from chatgpt_to_api.pool.groups import Group
    from chatgpt_to_api.pool.windows import SendLog

MAX_MODELS: Final = 16
"""Most models one credential cools for at a time; the one that ends soonest makes room."""

SHUT_FOR_NONE: Final[frozenset[str]] = frozenset()


class Place(IntEnum):
    """Where a credential stands. The first four are counted per group, by index."""

    READY = 0
    BUSY = 1
    COOLING = 2
    PACED = 3  # its own rate window is closed
    OUT = 4  # invalid, disabled, expired or removed


class Credential:
    """A credential's whole state; its shelf changes it, everyone else reads.

    ``invalid`` holds why it is unusable until replaced, "" while it is not. ``disabled`` is a
    person's decision. ``removed``: no longer configured, only running leases still hold it.
    ``models`` holds the cool-downs of single models, ``shut`` the models it cannot serve at this
    moment. ``used`` orders credentials by last use. ``wake`` and ``last_used`` are loop
    times; ``expires`` is Unix time.
    """

    __slots__ = (
        "access",
        "cooldown",
        "disabled",
        "expires",
        "group",
        "id",
        "in_flight",
        "invalid",
        "label",
        "last_error",
        "last_used",
        "log",
        "models",
        "place",
        "proxy",
        "removed",
        "renews",
        "served",
        "shut",
        "used",
        "wake",
    )

    def __init__(
        self,
        id: str,
        access: Access,
        expires: float | None,
        label: str,
        renews: Secret | None = None,
    ) -> None:
        self.id = id
        self.renews = renews
        self.access = access
        self.expires = expires
        self.label = label
        self.proxy: Proxy | None = None
        self.in_flight = 0
        self.served = 0
        self.last_error = ""
        self.last_used: float | None = None
        self.invalid = ""
        self.disabled = False
        self.removed = False
        self.cooldown: Cooldown | None = None
        self.models: dict[str, Cooldown] | None = None
        self.shut = SHUT_FOR_NONE
        self.log: SendLog | None = None
        self.group: Group | None = None
        self.place = Place.OUT
        self.wake = 0.0
        self.used = 0

    def __repr__(self) -> str:
        return f"Credential({self.label or self.id})"

    @property
    def usable(self) -> bool:
        """Whether it can serve requests, now or after a wait."""
        return not (self.invalid or self.disabled or self.removed)

    @property
    def expired(self) -> bool:
        """Whether it is invalid because its token is past its end."""
        return self.expires is not None and self.invalid == expired_reason(self.expires)

    @property
    def remarkable(self) -> bool:
        """Whether it is in any state but the ordinary one."""
        return bool(self.invalid or self.disabled or self.cooldown is not None or self.models)

    @property
    def movable(self) -> bool:
        """Whether a conversation bound to it should be bound to another one."""
        return not self.usable or (self.cooldown is not None and self.cooldown.denied)

    def state(self, now: float) -> CredentialState:
        """The state as people read it."""
        if self.disabled:
            return "disabled"
        if self.invalid:
            return "invalid"
        if self.cooldown is not None and self.cooldown.until > now:
            return "cooling"
        return "ready" if self.place is Place.READY else "busy"


def expired_reason(expires: float) -> str:
    """Why a token past its end is invalid, in words."""
    try:
        when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):  # a claim from some other calendar
        return "the token has expired"
    return f"the token expired on {when}"
