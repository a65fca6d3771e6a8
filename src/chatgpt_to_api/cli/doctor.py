"""``doctor``: look at everything a gateway needs, and say what to do about what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from msgspec import structs

from chatgpt_to_api.cli.exits import CODES, Exit
from chatgpt_to_api.cli.findings import Finding
from chatgpt_to_api.cli.folder_check import (
    check_files,
    check_folder,
    check_key,
    check_model,
    check_schema,
)
from chatgpt_to_api.cli.gateway_client import GatewayAway, GatewayClient, GatewayRefused
from chatgpt_to_api.cli.options import Config, DataDir, Json, Verbose, load_settings, new_app
from chatgpt_to_api.cli.output import plural, print_json, span
from chatgpt_to_api.cli.probe import Answered, Level, Prober
from chatgpt_to_api.cli.running import client_key, holder_of
from chatgpt_to_api.cli.token_check import verdict_of
from chatgpt_to_api.cli.token_sets import RunningTokens, TokenSet, stored_tokens
from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.settings import OFFICIAL_CONVERSATION_URL, Settings
from chatgpt_to_api.config.token_files import parse_tokens
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.pool.contract import CredentialView
from chatgpt_to_api.store.credentials import credential_id
from chatgpt_to_api.store.errors import StoreError, StoreUnavailable
from chatgpt_to_api.store.lock import Holder
from chatgpt_to_api.wire.jwt import read_claims
from chatgpt_to_api.wire.secret import Secret, scrubbed

app = new_app()

_OFFICIAL: Final = (
    "The official address refuses most programs. Set API_REVERSE_PROXY to the URL of a backend of "
    "your choice, or take the tokens away: chatgpt-to-api tokens remove --all."
)

MOST: Final = 20
"""Most credentials of one upstream that are told one by one."""


@app.command(epilog=CODES)
def doctor(
    config: Config = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Examine the whole set-up: configuration, data folder, model, upstreams, credentials.

    Every upstream is asked what it is; that costs no question of any model. Secrets are never
    shown. Exit code 1 if there is a problem, 0 if there are only warnings or nothing at all.
    """
    found: list[Finding] = []
    for finding in examine(config, data_dir):
        found.append(finding)
        if not as_json:
            print(finding, flush=True)
    problems = sum(finding.level == "problem" for finding in found)
    warnings = sum(finding.level == "warning" for finding in found)
    if as_json:
        print_json({"healthy": not problems, "findings": found})
    else:
        print(f"{plural(problems, 'problem')}, {plural(warnings, 'warning')}.")
    if problems:
        raise typer.Exit(Exit.FOUND)


def examine(config: Path | None, data_dir: Path | None) -> Iterator[Finding]:
    """Give one finding after the other."""
    try:
        loaded = load_settings(config, data_dir)
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("config", "problem", problem)
        return
    settings = loaded.settings
    yield from _check_config(loaded)
    holder = holder_of(loaded)
    yield from check_folder(settings, holder)
    key = check_key(settings)
    schema = check_schema(settings)
    yield key
    yield schema
    yield from check_files(settings)
    # An older schema would be changed by opening it.
    usable = key.level != "problem" and schema.level == "ok"
    tokens, lines = _credentials(settings, holder, openable=usable)
    in_force = settings.upstreams_with(tokens=bool(tokens))
    local = any(upstream.kind == "local" for upstream in in_force.values())
    yield check_model(settings, wanted=local)
    yield from asyncio.run(_check_upstreams(settings, in_force))
    yield from lines


def _check_config(loaded: Loaded) -> Iterator[Finding]:
    settings = loaded.settings
    file = settings.config_file or "no configuration file"
    yield Finding("config", "ok", f"every setting is usable ({file})")
    for warning in loaded.warnings:
        yield Finding("config", "warning", warning)
    server = settings.server
    if server.host not in ("127.0.0.1", "localhost", "::1") and client_key(loaded) is None:
        yield Finding(
            "config",
            "warning",
            f"it listens on {server.host} without client keys: whoever is on the private network "
            "may use your credentials",
            "Put keys into api_keys.txt in the data folder, or set API_KEYS.",
        )


# -- credentials -----------------------------------------------------------------------------------


def _credentials(
    settings: Settings, holder: Holder | None, *, openable: bool
) -> tuple[list[CredentialView], list[Finding]]:
    """Return the access tokens there are, and what is to be said about them."""
    tokens: list[CredentialView] = []
    found: list[Finding] = []
    for name in settings.conversation_upstreams:
        about = f"credentials of {name}"
        try:
            views = _tokens_of(settings, name, holder, openable=openable)
        except (StoreError, StoreUnavailable, GatewayAway, GatewayRefused) as error:
            found.append(Finding(about, "problem", str(error)))
            continue
        if views is None:
            continue
        tokens += views
        found += _judged(about, views, asked_for=name in settings.upstreams)
    if holder is not None and holder.url:
        found += _upstreams_at(GatewayClient(holder.url, Secret(holder.run_key)))
    return tokens, found


def _tokens_of(
    settings: Settings, upstream: str, holder: Holder | None, *, openable: bool
) -> list[CredentialView] | None:
    """Return an upstream's tokens; None where they cannot be looked at without changing anything.

    Raises StoreError, StoreUnavailable, GatewayAway, GatewayRefused.
    """
    if holder is not None:
        if not holder.url:
            return None
        running: TokenSet = RunningTokens(
            GatewayClient(holder.url, Secret(holder.run_key)), upstream
        )
        return running.all()
    found: list[CredentialView] = []
    if openable:
        with stored_tokens(settings, upstream) as stored:
            found = stored.all()
    if not found and upstream == settings.token_upstream:
        return _to_be_imported(settings)
    return found


def _to_be_imported(settings: Settings) -> list[CredentialView]:
    """Show the tokens that the next start will find in ACCESS_TOKENS and the tokens file."""
    said = ["\n".join(token.reveal() for token in settings.tokens.access_tokens).encode()]
    with contextlib.suppress(OSError):
        said.append(Path(settings.token_file).read_bytes())
    entries = {entry.access: entry for text in said for entry in parse_tokens(text).entries}
    return [
        CredentialView(
            id=credential_id(entry.access),
            label=entry.label,
            masked=entry.token.masked,
            state="ready",
            expires=read_claims(entry.token.reveal()).expires,
        )
        for entry in entries.values()
    ]


def _judged(about: str, views: list[CredentialView], *, asked_for: bool) -> Iterator[Finding]:
    if not views:
        if asked_for:
            yield Finding(
                about,
                "problem",
                "no access token",
                "Give it one: chatgpt-to-api tokens import FILE, or PATCH /admin/tokens.",
            )
        return
    now = time.time()
    verdicts = [verdict_of(view, now) for view in views]
    good = sum(verdict.verdict in ("good", "soon") for verdict in verdicts)
    level: Level = "ok" if good else "problem"
    advice = "" if good else "Replace them: chatgpt-to-api tokens import FILE --replace"
    yield Finding(about, level, f"{plural(len(views), 'access token')}, {good} usable", advice)
    advices = {
        "soon": "Get a fresh one in time.",
        "waits": "It comes back by itself; POST /admin/tokens/{id}/reset ends the wait.",
        "bad": "Replace it: chatgpt-to-api tokens remove ID, then tokens add.",
    }
    told = [verdict for verdict in verdicts if verdict.verdict in advices]
    for verdict in told[:MOST]:
        yield Finding(
            f"credential {verdict.id}",
            "warning",
            f"{verdict.token}{f' ({verdict.label})' if verdict.label else ''}: {verdict.says}",
            advices[verdict.verdict],
        )
    if len(told) > MOST:
        says = f"and {len(told) - MOST} more with something to tell"
        yield Finding(about, "note", says, "chatgpt-to-api tokens check")


def _upstreams_at(gateway: GatewayClient) -> Iterator[Finding]:
    """Tell what the running gateway says of its upstreams and files."""
    try:
        status: dict[str, Any] = gateway.call("GET", "/admin/status")
    except (GatewayAway, GatewayRefused) as error:
        yield Finding("gateway", "problem", str(error))
        return
    for upstream in status["upstreams"]:
        if not upstream["open"]:
            until = upstream["until"]
            wait = f" for {span(until - time.time())}" if until is not None else ""
            yield Finding(
                f"upstream {upstream['upstream']}",
                "warning",
                f"out of service at the running gateway{wait}: {upstream['reason']}",
                "It is tried again by itself; POST /admin/tokens/reset ends the wait.",
            )
    for warning in status["warnings"]:
        yield Finding("gateway", "warning", warning)


# -- upstreams -------------------------------------------------------------------------------------


async def _check_upstreams(
    settings: Settings, in_force: dict[str, UpstreamSettings]
) -> list[Finding]:
    """Ask every upstream with an address what it is, all at once."""
    asked = {name: upstream for name, upstream in in_force.items() if upstream.kind != "local"}
    async with Prober.open(settings) as prober:
        answers = await asyncio.gather(*(ask(prober, upstream) for upstream in asked.values()))
    found = []
    for (name, upstream), answer in zip(asked.items(), answers, strict=True):
        pace = ", ".join(upstream.rate_limits) or "no pace"
        address = scrubbed(upstream.base_url.partition("?")[0])
        says = f"{answer.says} [{upstream.kind}, {address}, {pace} configured]"
        found.append(Finding(f"upstream {name}", answer.level, says, answer.advice))
        if upstream.kind == "conversation":
            found.append(Finding(f"conversations of {name}", "note", upstream.how_chats_go_on))
    if not in_force:
        found.append(
            Finding(
                "upstreams",
                "problem",
                "there is none: nothing can answer",
                "Set API_REVERSE_PROXY or OPENAI_BASE_URL, give access tokens, or let "
                "EMBEDDED_MODEL be auto.",
            )
        )
    return found


async def ask(prober: Prober, upstream: UpstreamSettings) -> Answered:
    """Ask one upstream what it is."""
    if upstream.kind == "conversation":
        answer = await prober.conversation(upstream)
        if answer.level == "problem" and upstream.base_url == OFFICIAL_CONVERSATION_URL:
            return structs.replace(answer, advice=_OFFICIAL)
        return answer
    return await prober.models(upstream)
