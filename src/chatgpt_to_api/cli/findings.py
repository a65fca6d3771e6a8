"""What an examination finds: one line each, how bad it is, and what to do about it."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.cli.probe import Level

_MARKS = {"ok": "ok     ", "note": "note   ", "warning": "warning", "problem": "PROBLEM"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. ``about``: ``config``, ``upstream vendor``, …

    ``warning`` works but should be mended; ``problem`` does not work. No secret stands in it.
    """

    about: str
    level: Level
    says: str
    advice: str = ""

    def __str__(self) -> str:
        lines = [f"{_MARKS[self.level]}  {self.about}: {self.says}"]
        if self.advice:
            lines.append(f"         → {self.advice}")
        return "\n".join(lines)
