"""A Dockerfile taken apart: its stages and their instructions, as far as ours goes."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Final

_NEXT_LINE: Final = re.compile(r"\\\n")


@dataclass
class Stage:
    """One ``FROM`` and the instructions after it, in order, each a keyword and its text."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def texts(self, keyword: str) -> list[str]:
        return [text for found, text in self.steps if found == keyword]

    def only(self, keyword: str) -> str:
        (text,) = self.texts(keyword)
        return text

    @property
    def variables(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = [pair for text in self.texts("ENV") for pair in shlex.split(text)]
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def health_command(self) -> list[str]:
        """The HEALTHCHECK's command, in its exec form."""
        command: list[str] = json.loads(self.only("HEALTHCHECK").partition("CMD ")[2])
        return command

    @property
    def command(self) -> list[str]:
        """What a container runs: ENTRYPOINT and CMD, in their exec forms."""
        return [*json.loads(self.only("ENTRYPOINT")), *json.loads(self.only("CMD"))]


def stages(text: str) -> list[Stage]:
    """Read a Dockerfile. Comment lines go first, since they may stand inside an instruction."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in _NEXT_LINE.sub("", "\n".join(lines)).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif keyword:
            found[-1].steps.append((keyword, rest.strip()))
    return found
