"""What is wrong with a configuration: all of it at once, each part by name."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(Exception):
    """The configuration cannot be used.

    ``problems``: one line each, beginning with the variable, option or TOML key it is about and
    saying what was expected. None repeats a secret.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
