"""Writes the tables of the pages that have some: ``make docs``, or run this file.

What stands between a page's two marks is made here; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import typer
from pair_rows import pair_tables
from parameter_rows import table

from chatgpt_to_api.cli.main import app
from chatgpt_to_api.config.catalogue import Setting, catalogue, plain, upstream_catalogue
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.show import Row, reference
from chatgpt_to_api.config.upstream_settings import UpstreamSettings

Command: TypeAlias = Any
"""A click command; typer brings its own copy of click, whose place is not part of its interface."""

HERE: Final = Path(__file__).parent
BEGIN: Final = "<!-- made by docs/generate.py: begin -->"
END: Final = "<!-- made by docs/generate.py: end -->"

_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def with_table(page: str, table: str) -> str:
    """Return a page with the text between its marks replaced. Raises ValueError without marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no marks to write between")
    return f"{before}{begin}\n\n{table.strip()}\n\n{end}{after}"


# -- settings --------------------------------------------------------------------------------------


def settings_tables() -> str:
    """Return one table for each section of the configuration file, in Markdown."""
    known = {setting.key: setting for setting in (*catalogue(), *upstream_catalogue())}
    said = _section_sentences()
    parts: list[str] = []
    sections: dict[str, list[Row]] = {}
    for row in reference():
        sections.setdefault(_section(row.key), []).append(row)
    for section, rows in sections.items():
        parts.append(f"### {_heading(section)}\n\n{said[section]}\n")
        upstream = section.startswith("upstreams")
        last = "kinds" if upstream else "default"
        parts.append(f"| key | variable | {last} | value | meaning |\n|---|---|---|---|---|")
        parts += [_setting_line(row, known.get(row.key)) for row in rows]
        parts.append("")
    return "\n".join(parts)


def _section(key: str) -> str:
    if key.startswith(("upstreams.", "routes[")):
        return key.partition(".")[0]
    return key.rpartition(".")[0]


def _heading(section: str) -> str:
    special = {"": "Beside the sections", "upstreams": "`[upstreams.NAME]`"}
    special["routes[]"] = "`[[routes]]`"
    return special.get(section, f"`[{section}]`")


def _section_sentences() -> dict[str, str]:
    """Section → the sentence after the colon of its struct's docstring."""
    said = {
        "": "They stand at the top of the file, before the first section.",
        "upstreams": _sentence(UpstreamSettings),
        "routes[]": "A model name or glob and its ordered candidates; the first that fits counts.",
    }
    for field in msgspec.structs.fields(Settings):
        kind = plain(msgspec.inspect.type_info(field.type))
        if isinstance(kind, msgspec.inspect.StructType):
            said[field.name] = _sentence(kind.cls)
    return said


def _sentence(struct: type) -> str:
    text = (struct.__doc__ or "").split("\n", 1)[0].partition(": ")[2]
    return text[:1].upper() + text[1:]


def _setting_line(row: Row, setting: Setting | None) -> str:
    name = row.key.rpartition(".")[2] if not row.key.startswith("routes") else row.key
    key = f"`{name.removeprefix('routes[].')}`"
    variables = " or ".join(f"`{variable}`" for variable in row.env)
    value, third = row.expected, _default(row, setting)
    if setting is not None and setting.env_upstream:
        pairs = zip(setting.env, setting.env_upstream, strict=True)
        variables = ", ".join(f"`{variable}` (of `{upstream}`)" for variable, upstream in pairs)
    if row.key.startswith("upstreams.") and setting is not None:
        value += f"; default {third}" if third != "–" else ""
        third = ", ".join(setting.kinds) or "all"
    if setting is not None and setting.is_secret:
        value += ", secret"
    if setting is not None and setting.not_in_file:
        key = "–"
    cells = (key, variables or "–", third, value or "–", row.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(row: Row, setting: Setting | None) -> str:
    if not row.default:
        return "–"
    if setting is not None and setting.unit == "bytes":
        size = int(row.default)
        unit, name = next((u, n) for u, n in (*_SIZES, (1, "bytes")) if size % u == 0)
        return f"`{row.default}` ({size // unit} {name})"
    return f"`{row.default}`"


# -- the command line ------------------------------------------------------------------------------


def command_sections() -> str:
    """Return every command with its arguments and options, in Markdown."""
    return "\n".join(_sections("chatgpt-to-api", typer.main.get_command(app)))


def commands(path: str, command: Command) -> Iterator[tuple[str, Command]]:
    """Walk a command and everything below it; gives the words that call each."""
    inner = _below(command)
    if not inner or any(not _hidden(param) for param in command.params):
        yield path, command
    for name, child in inner.items():
        yield from commands(f"{path} {name}", child)


def _below(command: Command) -> Mapping[str, Command]:
    if not hasattr(command, "list_commands"):
        return {}
    context = typer.Context(command)
    # What a list shows may only stand for a command; what would run is the command.
    found = {name: _meant(command, context, name) for name in command.list_commands(context)}
    return {name: child for name, child in found.items() if not child.hidden}


def _meant(group: Command, context: Any, name: str) -> Command:
    return group.resolve_command(context, [name])[1]


def _sections(path: str, command: Command) -> Iterator[str]:
    for words, leaf in commands(path, command):
        arguments = [p for p in leaf.params if p.param_type_name == "argument"]
        options = [p for p in leaf.params if p.param_type_name == "option" and not _hidden(p)]
        usage = " ".join([words, *(_placeholder(argument) for argument in arguments)])
        yield f"### `{usage}`\n"
        if leaf.help:
            yield _flow(leaf.help) + "\n"
        lines = [
            f"| `{_placeholder(argument)}` | {_flow(getattr(argument, 'help', None) or '')} |"
            for argument in arguments
        ]
        lines += [f"| {_spellings(option)} | {_said(option)} |" for option in options]
        if lines:
            yield "| option | meaning |\n|---|---|\n" + "\n".join(lines) + "\n"


def _hidden(param: Any) -> bool:
    return bool(getattr(param, "hidden", False)) or param.name == "help"


def _placeholder(param: Any) -> str:
    name = (param.metavar or param.human_readable_name or param.name).upper().strip("[]<>.")
    name += "…" if param.nargs != 1 else ""
    return name if param.required else f"[{name}]"


def _spellings(param: Any) -> str:
    shown = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    return shown if param.is_flag else f"{shown} {_value(param)}"


def _value(param: Any) -> str:
    kind = (param.metavar or param.type.name).upper().strip("[]<>")
    return "TEXT" if kind == "STR" else kind


def _said(param: Any) -> str:
    text = _flow(param.help or "")
    default = param.default
    shown = getattr(param, "show_default", False)
    if shown and default not in (None, False, ()) and not callable(default):
        text += f" Default: `{default}`."
    return text.replace("|", "\\|")


def _flow(text: str) -> str:
    """Join the lines of each paragraph."""
    paragraphs = re.split(r"\n\s*\n", text.replace("\b", "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_tables,
    "cli.md": command_sections,
    "parameters.md": partial(table, 0),
    "parameters_CN.md": partial(table, 1),
    "pairs.md": partial(pair_tables, 0),
    "pairs_CN.md": partial(pair_tables, 1),
}
"""Page → what makes its tables."""


def main() -> None:
    """Write the tables of every page anew."""
    for name, make in PAGES.items():
        page = HERE / name
        page.write_text(with_table(page.read_text("utf-8"), make()), "utf-8")


if __name__ == "__main__":
    main()
