"""docs/errors.md has every code the gateway can answer with, and every exit code."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import chatgpt_to_api
from chatgpt_to_api.cli.exits import Exit
from chatgpt_to_api.errors import GatewayError, UpstreamRejected
from support.pages import page

SOURCE: Final = Path(chatgpt_to_api.__file__).parent
TREES: Final = [ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))]
ROW: Final = re.compile(r"^\| `([a-z_]+)` \| ([0-9, …]+) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    """Code → the statuses its row gives."""
    return dict(ROW.findall(page("docs/errors.md")))


def code_positions() -> dict[str, int]:
    """Functions of the source that take a code by position → which place it is."""
    found = {}
    for tree in TREES:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [argument.arg for argument in node.args.args]
                if "code" in names:
                    found[node.name] = names.index("code")
    return found


def codes() -> Iterator[str]:
    """Every code the source writes down: as a class's, as a keyword, or by position."""
    positions = code_positions()
    for tree in TREES:
        for node in ast.walk(tree):
            match node:
                case ast.ClassDef(body=body):
                    for line in body:
                        match line:
                            case (
                                ast.Assign(
                                    targets=[ast.Name("code")], value=ast.Constant(str(code))
                                )
                                | ast.AnnAssign(
                                    target=ast.Name("code"), value=ast.Constant(str(code))
                                )
                            ):
                                yield code
                case ast.Call(func=func, args=arguments, keywords=keywords):
                    for keyword in keywords:
                        match keyword:
                            case ast.keyword("code", ast.Constant(str(code))):
                                yield code
                    name = getattr(func, "id", getattr(func, "attr", ""))
                    place = positions.get(name, len(arguments))
                    match arguments[place : place + 1]:
                        case [ast.Constant(str(code))]:
                            yield code


def error_classes() -> Iterator[type[GatewayError]]:
    """Every error there is; all rooms are imported to know them."""
    for module in pkgutil.walk_packages(chatgpt_to_api.__path__, "chatgpt_to_api."):
        if "__main__" not in module.name and ".migrations" not in module.name:
            importlib.import_module(module.name)
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += found.__subclasses__()


def test_every_code_of_the_source_is_documented() -> None:
    """A new error is not committed without saying what it means and what to do."""
    written = set(codes())
    assert {"upstream_empty", "internal_error", "invalid_type"} <= written, "the walk misses some"
    assert written - documented().keys() == set()


def test_nothing_is_documented_that_cannot_happen() -> None:
    """A code that went away takes its row along."""
    assert documented().keys() - set(codes()) == set()


def test_the_statuses_are_those_of_the_classes() -> None:
    """A class's own code has the class's status in its row."""
    rows = documented()
    for found in error_classes():
        own = vars(found).get("code")
        if isinstance(own, str) and found is not UpstreamRejected:  # its status is the upstream's
            assert str(found.status) in rows[own], found


def test_the_conversation_doors_own_names_are_there() -> None:
    """It renames codes for its clients; the page says how."""
    from chatgpt_to_api.dialects.conversation.door import _CODES

    for name in _CODES.values():
        assert f"`{name}`" in page("docs/errors.md")


def test_every_exit_code_is_documented() -> None:
    """The table is the enumeration, number by number."""
    table = page("docs/errors.md").partition("## Exit codes")[2]
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(Exit)
