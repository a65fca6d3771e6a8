"""The tokens a command works on: those of a data folder nobody holds, or of a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from chatgpt_to_api.admin.token_import import TokenImport
from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.cli.exits import Exit, stop
from chatgpt_to_api.cli.gateway_client import GatewayClient, ending_on_errors
from chatgpt_to_api.cli.output import for_terminal
from chatgpt_to_api.cli.running import find_admin
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.config.watched import Watcher
from chatgpt_to_api.pool.contract import CredentialView, PoolRules
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.store.credentials import Change, StoredCredential
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.errors import StoreError, StoreUnavailable
from chatgpt_to_api.store.lock import FolderLock
from chatgpt_to_api.store.opening import open_store
from chatgpt_to_api.store.states import CredentialStates

BATCH: Final = 2000
"""Tokens sent or stored at once: some 3 MB, well below what a gateway takes in one body."""

_PAGE: Final = 1000


class TokenSet(Protocol):
    """The tokens of one conversation upstream."""

    where: str
    """What they belong to, for people."""
    note: str
    """What the last change brings with it that nobody asked for, in a sentence; else ""."""

    def all(self) -> list[CredentialView]:
        """Return every token, masked, with its state."""
        ...

    def add(self, entries: Sequence[TokenEntry]) -> Change:
        """Put these behind the others; one that stands takes the new PUID and label."""
        ...

    def replace(self, entries: Sequence[TokenEntry]) -> Change:
        """Make these the whole set."""
        ...

    def remove(self, ids: Sequence[str]) -> Change:
        """Take these out."""
        ...


@contextlib.contextmanager
def token_set(
    loaded: Loaded, url: str | None, password: str | None, upstream: str | None
) -> Iterator[TokenSet]:
    """Give the token set to work on; ends the command with a sentence if there is none."""
    gateway = find_admin(loaded, url, password)
    with ending_on_errors():
        if gateway is not None:
            yield RunningTokens(gateway, upstream)
            return
        try:
            with stored_tokens(loaded.settings, upstream) as tokens:
                tokens.take_up(loaded.settings)
                yield tokens
        except StoreError as error:
            stop(Exit.UNAVAILABLE, str(error))
        except StoreUnavailable as error:
            stop(Exit.UNAVAILABLE, error.message)


class RunningTokens:
    """The tokens of a running gateway, by its admin API."""

    def __init__(self, gateway: GatewayClient, upstream: str | None) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self.where = f"the gateway at {gateway.url}"
        self.note = ""

    def all(self) -> list[CredentialView]:
        """Ask page by page."""
        found: list[CredentialView] = []
        after, more = "", True
        while more:
            page = self._gateway.call("GET", self._path(limit=str(_PAGE), after=after))
            found += (_view(shown) for shown in page["tokens"])
            after, more = (found[-1].id if found else ""), page["has_more"]
        return found

    def add(self, entries: Sequence[TokenEntry]) -> Change:
        """Send them."""
        return self._change("POST", [_sent(entry) for entry in entries])

    def replace(self, entries: Sequence[TokenEntry]) -> Change:
        """Send them as the new set."""
        return self._change("PATCH", [_sent(entry) for entry in entries])

    def remove(self, ids: Sequence[str]) -> Change:
        """Name them."""
        return self._change("DELETE", {"ids": list(ids)})

    def _change(self, method: str, body: object) -> Change:
        answer = self._gateway.call(method, self._path(), body)
        self.note = for_terminal(answer.get("note", ""))
        return msgspec.convert(answer, Change)

    def _path(self, **query: str) -> str:
        if self._upstream is not None:
            query["upstream"] = self._upstream
        pairs = "&".join(f"{name}={quote(value)}" for name, value in query.items() if value)
        return f"/admin/tokens{'?' if pairs else ''}{pairs}"


class StoredTokens:
    """The tokens of a data folder, in its store. ``run`` runs a coroutine to its end."""

    note = ""

    def __init__(
        self,
        run: Callable[[Any], Any],
        store: Store,
        tokens: TokenAdmin,
        pool: Pool,
        folder: str,
    ) -> None:
        self._run = run
        self._store = store
        self._tokens = tokens
        self._pool = pool
        self.where = f"the data folder {folder}"

    def all(self) -> list[CredentialView]:
        """Show them as the pool of a gateway would."""
        return [view for view in self._pool.views(self._tokens.upstream) if view.id]

    def add(self, entries: Sequence[TokenEntry]) -> Change:
        """Store them."""
        change: Change = self._run(self._tokens.add(entries))
        return change

    def replace(self, entries: Sequence[TokenEntry]) -> Change:
        """Store them in place of the others."""
        change: Change = self._run(self._tokens.replace(entries))
        return change

    def remove(self, ids: Sequence[str]) -> Change:
        """Remove them from the store."""
        change: Change = self._run(self._tokens.remove(ids))
        return change

    def take_up(self, settings: Settings) -> None:
        """Import what ACCESS_TOKENS and the tokens file hold if it is new, as a start would."""
        if self._tokens.upstream == settings.token_upstream:
            self._run(_take_up(settings, TokenImport(self._store, self._tokens)))

    def secrets(self) -> list[StoredCredential]:
        """Return the tokens themselves, for asking the backend about them."""
        found: list[StoredCredential] = self._run(self._tokens.of())
        return found


@contextlib.contextmanager
def stored_tokens(settings: Settings, upstream: str | None) -> Iterator[StoredTokens]:
    """Lock the data folder and open the tokens in its store.

    Raises StoreError, StoreUnavailable.
    """
    name = settings.token_upstream if upstream is None else upstream
    if name not in settings.conversation_upstreams:
        known = ", ".join(settings.conversation_upstreams)
        stop(Exit.USAGE, f"--upstream: {name} has no access tokens; there is: {known}.")
    with (
        FolderLock.take(Path(settings.data_dir)),
        asyncio.Runner() as runner,
        contextlib.ExitStack() as stack,
    ):
        opening = open_store(settings)
        store = runner.run(opening.__aenter__())
        stack.callback(lambda: runner.run(opening.__aexit__(None, None, None)))
        pool = Pool(runner.get_loop())
        pool.configure(name, PoolRules())

        async def open_tokens() -> TokenAdmin:
            tokens = await TokenAdmin.open(store, name, pool)
            pool.restore(await CredentialStates(store).load())
            return tokens

        tokens = runner.run(open_tokens())
        yield StoredTokens(runner.run, store, tokens, pool, settings.data_dir)


async def _take_up(settings: Settings, sources: TokenImport) -> None:
    await sources.offer_configured(settings.tokens.access_tokens)
    watcher = Watcher()

    async def offer(content: bytes | None) -> Sequence[str]:
        return await sources.offer("file", content)

    watcher.add(Path(settings.token_file), offer)
    await watcher.load()
    await sources.begin()


def _view(shown: dict[str, Any]) -> CredentialView:
    """Read a token as the admin API shows it."""
    return msgspec.convert({**shown, "masked": shown["token"]}, CredentialView)


def _sent(entry: TokenEntry) -> dict[str, str]:
    """Write a token as the admin API takes it."""
    access = entry.access
    fields = {
        "token": entry.token.reveal(),
        "puid": access.puid.reveal() if access.puid else "",
        "account": access.account or "",
        "label": entry.label,
    }
    return {name: text for name, text in fields.items() if text}
