"""One reading of the configuration: the sources at hand, and all that was found wrong so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from chatgpt_to_api.config.catalogue import Setting, describe
from chatgpt_to_api.config.checks import CHECKS
from chatgpt_to_api.config.sources import DEFAULT, Found, References, Variables
from chatgpt_to_api.config.values import Resolve, from_text, from_toml


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with one value: the name it has where it stands, and what was expected.

    ``place`` is the file it stands in, "" for a variable, an option, or what was sent.
    """

    key: str
    what: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.key} (in {self.place}): {self.what}" if self.place else self.message

    @property
    def message(self) -> str:
        """The problem without the place."""
        return f"{self.key}: {self.what}"


class Reading:
    """Reads single values and keeps what went wrong, so that one error can tell all of it.

    ``file`` is the configuration file, None where there is none, and ``toml`` what it holds.
    ``origin`` says where the tables come from if not from it, and ``resolve`` reads their secrets.
    """

    def __init__(
        self,
        variables: Variables,
        options: Mapping[str, str],
        file: Path | None,
        toml: Mapping[str, Any],
        folder: Path,
        *,
        origin: str = "",
        resolve: Resolve | None = None,
    ) -> None:
        self.variables = variables
        self.options = options
        self.file = file
        self.toml = toml
        self.folder = folder
        """What a relative path in the file is relative to."""
        self.origin = origin or str(file)
        """The origin of what the tables give."""
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.origins: dict[str, str] = {}
        self._resolve = resolve or References(variables, folder).resolve

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table of the file, empty where there is none or something else stands there."""
        found = self.toml.get(name, {})
        return found if isinstance(found, dict) else {}

    def outside(self, setting: Setting) -> Found | None:
        """Return what an option or a variable says of a setting with one place, if one does."""
        return find_outside(setting, self.options, self.variables)

    def value(
        self, setting: Setting, key: str, table: Mapping[str, Any], found: Found | None
    ) -> Any:
        """Read one value: ``found`` where something outside gave it, else from ``table``.

        ``key`` is its own full key, where the setting's stands for many. A wrong value is noted
        and the default returned in its place, so that the reading can go on.
        """
        try:
            if found is not None:
                value, origin = from_text(found.text, setting.type), found.origin
            elif setting.name in table:
                value = from_toml(table[setting.name], setting.type, self._resolve)
                origin = self.origin
            else:
                self.origins[key] = DEFAULT
                return setting.default
            check = CHECKS.get(setting.key)
            value = check(value) if check else value
        except ValueError as error:
            what = str(error).replace(describe(setting.type), setting.expected, 1)
            if found is None:
                self.file_problem(key, what)
            else:
                self.problem(found.name, what)
            self.origins[key] = DEFAULT
            return setting.default
        self.origins[key] = origin
        return value

    def problem(self, variable: str, what: str) -> None:
        """Note what is wrong with a variable or an option."""
        self.problems.append(Problem(variable, what))

    def file_problem(self, key: str, what: str) -> None:
        """Note what is wrong with a key of the tables."""
        self.problems.append(Problem(key, what, str(self.file or "")))

    def unknown_key(self, key: str, known: Iterable[str]) -> None:
        """Note a key of the file that means nothing, with the known one it is most like."""
        names = list(known)
        leaves = {name.rpartition(".")[2]: name for name in reversed(names)}
        leaf = key.rpartition(".")[2]
        close = get_close_matches(key, names, 1, 0.75)
        close = close or [leaves[leaf_] for leaf_ in get_close_matches(leaf, leaves, 1, 0.75)]
        hint = f"; did you mean {close[0]}?" if close else ""
        self.file_problem(key, f"there is no such setting{hint}")


_OPTIONS: Final = {"log.format": "--log-format", "log.level": "--verbose"}
"""Options of the command line that are not called like their setting."""


def find_outside(
    setting: Setting, options: Mapping[str, str], variables: Variables
) -> Found | None:
    """Return what an option of the command line says of a setting, else what a variable does."""
    text = options.get(setting.key, "").strip()
    if text:
        option = _OPTIONS.get(setting.key)
        option = option or "--" + setting.name.removesuffix("_file").replace("_", "-")
        return Found(text, option, f"option {option}")
    return variables.find(*setting.env) if setting.env else None
