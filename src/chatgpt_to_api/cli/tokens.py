"""``tokens``: the access tokens of a data folder or of a running gateway."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from chatgpt_to_api.cli.exits import CODES, Exit, stop
from chatgpt_to_api.cli.options import Config, DataDir, Json, Url, Verbose, new_app, settings
from chatgpt_to_api.cli.output import moment, plural, print_json, span, table
from chatgpt_to_api.cli.token_sets import BATCH, TokenSet, token_set
from chatgpt_to_api.config.token_files import Skipped, TokenFile, make_entry, parse_tokens
from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.pool.contract import CredentialView

app = new_app(
    "The access tokens: of the data folder, or of the gateway that runs on it or at --url."
)

SHOWN: Final = 20
"""Most skipped places that are told one by one; -v tells all."""

Password = Annotated[
    str | None,
    typer.Option(
        help="Admin password of the gateway at --url; else ADMIN_PASSWORD.", show_default=False
    ),
]
Upstream = Annotated[
    str | None,
    typer.Option(
        help="Conversation upstream they are for; else the first.",
        metavar="NAME",
        show_default=False,
    ),
]


@app.command("list", epilog=CODES)
def list_tokens(
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    password: Password = None,
    upstream: Upstream = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """List the tokens, masked, with what is known of each."""
    with token_set(settings(config, data_dir), url, password, upstream) as tokens:
        found = tokens.all()
        if as_json:
            print_json({"where": tokens.where, "tokens": [_plain(view) for view in found]})
            return
        print(f"{plural(len(found), 'token')} in {tokens.where}")
    if not found:
        return
    now = time.time()
    head = ["ID", "TOKEN", "LABEL", "STATE", "EXPIRES", "IN FLIGHT", "SERVED", "LAST ERROR"]
    rows = [
        [
            view.id,
            view.masked,
            view.label if view.label != view.masked else "",
            _state(view, now),
            moment(view.expires) or "unknown",
            str(view.in_flight),
            str(view.served),
            view.last_error,
        ]
        for view in found
    ]
    print(table(head, rows))


@app.command(epilog=CODES)
def add(
    token: Annotated[
        str | None,
        typer.Argument(
            help="The token; - reads it, or several in any form, from standard input. Without it "
            "you are asked, and nothing shows.",
            show_default=False,
        ),
    ] = None,
    puid: Annotated[str | None, typer.Option(help="Its _puid cookie.", show_default=False)] = None,
    account: Annotated[
        str | None, typer.Option(help="Its workspace id (team accounts).", show_default=False)
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="A name for it; else its e-mail.", show_default=False)
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    password: Password = None,
    upstream: Upstream = None,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Add a token, or several.

    One that is there already takes the new PUID and label.
    """
    entries = _entered(token, puid or "", account or "", label or "")
    with token_set(settings(config, data_dir), url, password, upstream) as tokens:
        change = tokens.add(entries)
        known = len(entries) - change.added
        print(
            f"Added {plural(change.added, 'token')} to {tokens.where}"
            + (f", {known} there already" if known else "")
            + f"; {change.total} now."
        )
        _tell_note(tokens)


@app.command("import", epilog=CODES)
def import_tokens(
    file: Annotated[
        Path,
        typer.Argument(
            help="A file of tokens in any form: a JSON list or object, a pasted session, one per "
            "line, token,account …; - is standard input."
        ),
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Make them the whole set, in one step.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    password: Password = None,
    upstream: Upstream = None,
    as_json: Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name everything that was not taken.")
    ] = False,
) -> None:
    """Import tokens from a file, and tell what was not taken and why.

    Exit code 1 if anything was not taken. The tokens stay sealed in the data folder; the file can
    be deleted afterwards.
    """
    read = parse_tokens(_content(file))
    if not read.entries and not (replace and read.clears):
        _tell_skipped(read.skipped, all_of_them=verbose)
        stop(Exit.FOUND, f"{_name(file)} holds no token that can be taken; nothing was changed.")
    with token_set(settings(config, data_dir), url, password, upstream) as tokens:
        summary = _import(tokens, read, replace=replace)
        if as_json:
            print_json(summary)
        else:
            print(summary.told(_name(file), tokens.where))
            _tell_note(tokens)
    if not as_json:
        _tell_skipped(read.skipped, all_of_them=verbose)
    if read.skipped:
        raise typer.Exit(Exit.FOUND)


@app.command(epilog=CODES)
def remove(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="Ids, the beginnings of ids, or labels, as tokens list shows them.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every token.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    password: Password = None,
    upstream: Upstream = None,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Remove tokens. Questions that use them end well first."""
    if bool(ids) == everything:
        stop(Exit.USAGE, "Name the tokens to remove, or give --all (not both).")
    with token_set(settings(config, data_dir), url, password, upstream) as tokens:
        found = tokens.all()
        doomed = found if everything else _named(found, ids or [])
        if not doomed:
            print(f"There is no token in {tokens.where}.")
            return
        if not yes:
            _confirm(doomed, tokens.where)
        change = tokens.replace(()) if everything else tokens.remove([v.id for v in doomed])
        print(
            f"Removed {plural(change.removed, 'token')} from {tokens.where}; {change.total} left."
        )


@app.command(epilog=CODES)
def check(
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Also ask the backend about each token, by its model list: that costs no "
            "question. Only while no gateway runs on the folder.",
        ),
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    password: Password = None,
    upstream: Upstream = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Check every token, and tell which cannot be used.

    What a token says of its expiry is only a hint; the backend may refuse it earlier. Exit code 1
    if any token cannot be used, or the backend could not be asked.
    """
    from chatgpt_to_api.cli.token_check import check_tokens

    loaded = settings(config, data_dir)
    with token_set(loaded, url, password, upstream) as tokens:
        verdicts = check_tokens(tokens, loaded.settings, upstream, live=live)
        where = tokens.where
    if as_json:
        print_json({"where": where, "tokens": verdicts})
    elif not verdicts:
        print(f"There is no token in {where}.")
    else:
        rows = [[v.id, v.token, v.label, v.verdict, v.says] for v in verdicts]
        print(table(["ID", "TOKEN", "LABEL", "VERDICT", "WHY"], rows))
    if any(verdict.verdict in ("bad", "unknown") for verdict in verdicts):
        raise typer.Exit(Exit.FOUND)


class Summary(msgspec.Struct, frozen=True):
    """What an import did. ``known`` were there already, ``duplicates`` stood twice in the file."""

    total: int
    added: int
    known: int
    removed: int
    duplicates: int
    skipped: tuple[Skipped, ...]
    note: str = ""
    """What comes of it that nobody asked for, where something does."""

    def told(self, file: str, where: str) -> str:
        """Say it in a sentence."""
        parts = [f"Imported {plural(self.added, 'new token')} from {file} into {where}"]
        parts += [f"{self.known} there already"] if self.known else []
        parts += [f"{self.removed} removed"] if self.removed else []
        parts += [f"{self.duplicates} twice in the file"] if self.duplicates else []
        parts += [f"{len(self.skipped)} not taken"] if self.skipped else []
        return ", ".join(parts) + f"; {plural(self.total, 'token')} now."


def _import(tokens: TokenSet, read: TokenFile, *, replace: bool) -> Summary:
    if replace:
        change = tokens.replace(read.entries)
        added, removed, total = change.added, change.removed, change.total
    else:
        added = total = removed = 0
        for batch in _batches(read.entries):
            change = tokens.add(batch)
            added, total = added + change.added, change.total
    return Summary(
        total=total,
        added=added,
        known=len(read.entries) - added,
        removed=removed,
        duplicates=read.duplicates,
        skipped=read.skipped,
        note=tokens.note,
    )


def _batches(entries: Sequence[TokenEntry]) -> Sequence[Sequence[TokenEntry]]:
    """Cut into batches, with a progress bar where there are several and somebody watches."""
    batches = [entries[at : at + BATCH] for at in range(0, len(entries), BATCH)]
    if len(batches) < 2 or not sys.stderr.isatty():
        return batches
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(batches, "Importing", console=console, transient=True)  # type: ignore[return-value]


def _entered(token: str | None, puid: str, account: str, label: str) -> Sequence[TokenEntry]:
    """Read the token or tokens to add; ends the command if any of them cannot be one."""
    if token is None and sys.stdin.isatty():
        token = typer.prompt("Access token", hide_input=True)
    if token in (None, "-"):
        read = parse_tokens(sys.stdin.buffer.read())
        if read.skipped:
            _tell_skipped(read.skipped, all_of_them=False)
            stop(Exit.FOUND, "Nothing was added.")
        if not read.entries:
            stop(Exit.USAGE, "There is no token on standard input.")
        if not (puid or account or label):
            return read.entries
        if len(read.entries) > 1:
            stop(Exit.USAGE, "--puid, --account and --label go with one token only.")
        token = read.entries[0].token.reveal()
    made = make_entry("the token", token, puid, account, label)
    if isinstance(made, Skipped):
        stop(Exit.FOUND, f"{made}. Nothing was added.")
    return [made]


def _content(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        stop(Exit.UNAVAILABLE, f"{file} cannot be read: {error.strerror}.")


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _tell_note(tokens: TokenSet) -> None:
    if tokens.note:
        print(f"Note: {tokens.note}", file=sys.stderr)


def _tell_skipped(skipped: Sequence[Skipped], *, all_of_them: bool) -> None:
    shown = skipped if all_of_them else skipped[:SHOWN]
    for one in shown:
        print(f"  not taken: {one}", file=sys.stderr)
    if len(skipped) > len(shown):
        rest = len(skipped) - len(shown)
        print(f"  and {rest} more that were not taken; -v names all", file=sys.stderr)


def _named(found: Sequence[CredentialView], names: Sequence[str]) -> list[CredentialView]:
    """Find the tokens people mean; ends the command, naming it, if one is none or several."""
    meant: dict[str, CredentialView] = {}
    for name in names:
        fits = [v for v in found if name in (v.id, v.label)]
        fits = fits or [v for v in found if len(name) >= 4 and v.id.startswith(name)]
        if len(fits) != 1:
            many = f"{len(fits)} tokens are called" if fits else "There is no token"
            stop(Exit.FOUND, f"{many} {name!r:.80}; tokens list shows the ids. Nothing changed.")
        meant[fits[0].id] = fits[0]
    return list(meant.values())


def _confirm(doomed: Sequence[CredentialView], where: str) -> None:
    what = doomed[0].label if len(doomed) == 1 else plural(len(doomed), "token")
    if not sys.stdin.isatty():
        stop(Exit.USAGE, f"This would remove {what} from {where}; say so with --yes.")
    if not typer.confirm(f"Remove {what} from {where}?"):
        stop(Exit.FOUND, "Nothing was changed.")


def _state(view: CredentialView, now: float) -> str:
    until = f" for {span(view.until - now)}" if view.until is not None else ""
    reason = f" ({view.reason})" if view.reason and view.reason != view.last_error else ""
    cooling = f"; {plural(len(view.models), 'model')} cooling" if view.models else ""
    return f"{view.state}{until}{reason}{cooling}"


def _plain(view: CredentialView) -> dict[str, object]:
    shown: dict[str, object] = msgspec.structs.asdict(view)
    return {"id": shown.pop("id"), "token": shown.pop("masked"), **shown}
