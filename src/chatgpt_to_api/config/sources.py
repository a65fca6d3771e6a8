"""Where settings come from: options, variables of the environment and ``.env``, the TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.wire.secret import Secret

DEFAULT: Final = "default"
"""The origin of a value that no source gives."""

CONFIG_NAME: Final = "config.toml"
DOTENV_NAME: Final = ".env"

_MAX_SECRET_FILE: Final = 64 * 1024


class Found(msgspec.Struct, frozen=True):
    """A text some source gives, the name it has there, and the source in words."""

    text: str
    name: str
    origin: str


class Variables:
    """The environment above ``.env``. A variable set to nothing, or to blanks, is not set."""

    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str]) -> None:
        self._sources = ((environ, "environment"), (dotenv, DOTENV_NAME))

    def find(self, *names: str) -> Found | None:
        """Return the first of ``names`` that is set, the environment before ``.env``."""
        for source, said in self._sources:
            for name in names:
                text = source.get(name, "").strip()
                if text:
                    return Found(text, name, f"{said} {name}")
        return None

    def names_in_dotenv(self) -> set[str]:
        """Return the names that ``.env`` sets, which are meant for this program."""
        return set(self._sources[1][0])

    def names(self) -> set[str]:
        """Return the names of all variables that are set."""
        return {
            name for source, _ in self._sources for name, text in source.items() if text.strip()
        }


def read_dotenv(path: Path) -> dict[str, str]:
    """Read a ``.env`` file: what stands there is meant, so ``$`` has no special meaning.

    No file is an empty one. Raises ConfigError for one that cannot be read, naming the lines.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            from dotenv.parser import parse_stream  # not needed by most starts

            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {_reason(error)}"]) from None
    problems = [
        f"{path}, line {binding.original.line}: expected NAME=VALUE"
        for binding in bindings
        if binding.error
    ]
    if problems:
        raise ConfigError(problems)
    return {b.key: b.value for b in bindings if b.key is not None and b.value is not None}


def read_toml(path: Path) -> dict[str, Any]:
    """Read the configuration file. Raises ConfigError naming the file and the line."""
    try:
        with path.open(encoding="utf-8-sig") as file:  # Windows editors put a mark before it
            return tomllib.loads(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {_reason(error)}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None


class References:
    """Secrets as the configuration file holds them: themselves, ``env:NAME`` or ``file:PATH``."""

    def __init__(self, variables: Variables, folder: Path) -> None:
        self._variables = variables
        self._folder = folder
        """What a relative ``file:`` path is relative to."""

    def resolve(self, text: str) -> Secret:
        """Return the secret ``text`` stands for. Raises ValueError naming what is missing."""
        if text.startswith("env:"):
            name = text.removeprefix("env:").strip()
            found = self._variables.find(name)
            if found is None:
                raise ValueError(f"the variable {name} it refers to is not set")
            return Secret(found.text)
        if text.startswith("file:"):
            path = self._folder / Path(text.removeprefix("file:").strip()).expanduser()
            try:
                with path.open(encoding="utf-8-sig") as file:
                    content = file.read(_MAX_SECRET_FILE + 1).strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"the file {path} it refers to: {_reason(error)}") from None
            if not content or len(content) > _MAX_SECRET_FILE:
                size = "is empty" if not content else f"is over {_MAX_SECRET_FILE} characters"
                raise ValueError(f"the file {path} it refers to {size}")
            return Secret(content)
        return Secret(text)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "not UTF-8 text; save it as UTF-8"
