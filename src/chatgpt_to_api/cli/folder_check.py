"""Look at a data folder: rights, lock, key, database, model, and the files people put there."""

from __future__ import annotations

import base64
import binascii
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from chatgpt_to_api.cli.findings import Finding
from chatgpt_to_api.cli.output import plural
from chatgpt_to_api.config.list_files import parse_api_keys, parse_proxies
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.token_files import parse_tokens
from chatgpt_to_api.local_model.model_file import is_fetched, is_intact, model_path
from chatgpt_to_api.local_model.runtime import RUNTIME_MISSING, runtime_available
from chatgpt_to_api.store.database import database_path
from chatgpt_to_api.store.lock import Holder
from chatgpt_to_api.store.migrations import HEAD, REVISIONS
from chatgpt_to_api.store.private_files import readable_by_others
from chatgpt_to_api.store.secrets import KEY_FILE, MIN_SECRET_KEY

_FEW: Final = 3
"""Most lines of one file that are complained of one by one."""


def check_folder(settings: Settings, holder: Holder | None) -> Iterator[Finding]:
    """Look at the folder itself, and who works on it."""
    folder = Path(settings.data_dir)
    about = "data folder"
    advice = "Choose another with CHATGPT_TO_API_DATA_DIR."
    if not folder.exists():
        above = next(place for place in folder.absolute().parents if place.exists())
        if not above.is_dir():
            says = f"{folder} cannot be made: {above} is not a folder"
            yield Finding(about, "problem", says, advice)
            return
        if not os.access(above, os.W_OK | os.X_OK):
            says = f"{folder} cannot be made: this user may not write into {above}"
            yield Finding(about, "problem", says, advice)
            return
        yield Finding(about, "note", f"{folder} is not there yet; the first start makes it")
        return
    if not folder.is_dir():
        advice = "Move it away, or choose another with CHATGPT_TO_API_DATA_DIR."
        yield Finding(about, "problem", f"{folder} is not a folder", advice)
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        advice = f"Make it this user's: chown -R $(id -un) {folder}"
        yield Finding(about, "problem", f"{folder} cannot be read and written by this user", advice)
        return
    if readable_by_others(folder):
        says = f"{folder} can be looked into by other accounts"
        yield Finding(about, "warning", says, f"Run: chmod 700 {folder}")
    else:
        yield Finding(about, "ok", f"{folder} is this user's alone, and writable")
    if holder is None:
        yield Finding("gateway", "note", "none runs on this data folder")
    elif holder.url:
        says = f"process {holder.pid} runs on this data folder and listens on {holder.url}"
        yield Finding("gateway", "ok", says)
    else:
        says = f"process {holder.pid} works on this data folder, and does not listen (yet)"
        yield Finding("gateway", "note", says)


def check_key(settings: Settings) -> Finding:
    """Look at the key that stored secrets are sealed with; whether it fits is for the store."""
    path = Path(settings.data_dir, KEY_FILE)
    about = "key"
    given = settings.store.secret_key
    if given is not None:
        if len(given.reveal().strip()) < MIN_SECRET_KEY:
            advice = f"Give it at least {MIN_SECRET_KEY} characters: openssl rand -base64 32"
            return Finding(about, "problem", "SECRET_KEY is too short", advice)
        return Finding(about, "ok", "SECRET_KEY seals the stored secrets")
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
        if len(key) != 32:
            raise binascii.Error
        if readable_by_others(path):
            says = f"{path} can be read by other accounts"
            return Finding(about, "warning", says, f"Run: chmod 600 {path}")
    except (FileNotFoundError, NotADirectoryError):
        if database_path(Path(settings.data_dir)).exists():
            return Finding(
                about,
                "problem",
                f"{path} is missing, but the database holds secrets sealed with it",
                "Restore it from a backup, or move the database away to start anew.",
            )
        return Finding(about, "note", f"{path} is not there yet; the first start makes it")
    except binascii.Error:
        advice = "Restore it from a backup."
        return Finding(about, "problem", f"{path} does not hold a key", advice)
    except OSError as error:
        return Finding(about, "problem", f"{path} cannot be read: {error.strerror}")
    return Finding(about, "ok", f"{path} is this user's alone")


def check_schema(settings: Settings) -> Finding:
    """Look at the database's schema, changing nothing."""
    path = database_path(Path(settings.data_dir))
    about = "store"
    if not path.exists():
        return Finding(about, "note", f"{path.name} is not there yet; the first start makes it")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (found,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        advice = "Restore it from a backup, or move it away to start anew."
        return Finding(about, "problem", f"{path} cannot be used: {error}", advice)
    if found == HEAD:
        return Finding(about, "ok", f"{path.name} has the newest schema ({HEAD})")
    if found in REVISIONS:
        says = f"{path.name} has schema {found}; the next start brings it to {HEAD}"
        return Finding(about, "note", says, "Make a backup of the data folder first.")
    says = f"{path.name} has schema {found}, newer than this release knows ({HEAD})"
    return Finding(about, "problem", says, "Start the newer release.")


def _why_unused(settings: Settings) -> str:
    if settings.embedded_model.use == "off":
        return "not used: EMBEDDED_MODEL is off"
    return "not used: something else is there to answer; EMBEDDED_MODEL=on has it beside that"


def check_model(settings: Settings, *, wanted: bool) -> Finding:
    """Look at the embedded model: runtime, file, every byte of it."""
    folder = Path(settings.data_dir)
    about = "embedded model"
    if not wanted:
        return Finding(about, "note", _why_unused(settings))
    if not runtime_available():
        return Finding(about, "problem", "its runtime is missing", RUNTIME_MISSING)
    if not is_fetched(folder):
        return Finding(
            about,
            "note",
            "not fetched yet; the next start fetches it (93 MB)",
            "Or run: chatgpt-to-api model fetch",
        )
    if not is_intact(folder):
        path = model_path(folder)
        advice = f"Remove {path} and run: chatgpt-to-api model fetch"
        return Finding(about, "problem", f"{path} is damaged", advice)
    return Finding(about, "ok", "fetched, and every byte is right")


def missing_token_file(settings: Settings) -> str:
    """Say that the named file of tokens is not there; "" where it is, or none was named."""
    named = settings.tokens.access_tokens_file
    if not named or Path(named).exists():
        return ""
    return f"{named} is not there, though ACCESS_TOKENS_FILE names it"


def check_files(settings: Settings) -> Iterator[Finding]:
    """Look at the files people put into the folder; nothing about those that are not there."""
    folder = Path(settings.data_dir)
    for path in (Path(settings.token_file), folder / "api_keys.txt", folder / "proxies.txt"):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if path == Path(settings.token_file) and (says := missing_token_file(settings)):
                yield Finding(path.name, "warning", says, "Make it, or mend its name.")
            continue
        except NotADirectoryError:  # the finding about the folder says it
            continue
        except OSError as error:
            says = f"{path} cannot be read: {error.strerror}"
            yield Finding(path.name, "problem", says)
            continue
        if path.name == "api_keys.txt":
            keys = parse_api_keys(content)
            count, what, skipped = len(keys.keys), "client key", keys.skipped
        elif path.name == "proxies.txt":
            proxies = parse_proxies(content)
            count, what, skipped = len(proxies.proxies), "outbound proxy line", proxies.skipped
        else:
            tokens = parse_tokens(content)
            count, what, skipped = len(tokens.entries), "access token", tokens.skipped
        if not skipped:
            yield Finding(path.name, "ok", f"holds {plural(count, what)}")
        else:
            listed = "; ".join(str(one) for one in skipped[:_FEW])
            more = f"; and {len(skipped) - _FEW} more" if len(skipped) > _FEW else ""
            says = f"holds {plural(count, what)}; not taken: {listed}{more}"
            yield Finding(path.name, "warning", says)
        if readable_by_others(path):
            says = f"{path} can be read by other accounts"
            yield Finding(path.name, "warning", says, f"Run: chmod 600 {path}")
