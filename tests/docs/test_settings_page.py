"""docs/settings.md and .env.example say what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from chatgpt_to_api.cli.main import app
from chatgpt_to_api.config.catalogue import catalogue, upstream_catalogue
from chatgpt_to_api.config.load import load
from support.pages import REPOSITORY, blocks, page, pages

MADE = [
    f"{name}.md" for name in ("settings", "cli", "parameters", "parameters_CN", "pairs", "pairs_CN")
]
TOML_BLOCKS = [
    (name, number, block)
    for name in (str(found.relative_to(REPOSITORY)) for found in pages())
    for number, block in enumerate(blocks(name, "toml"))
]


@pytest.mark.parametrize("name", MADE)
def test_the_tables_are_those_the_code_makes(generator: ModuleType, name: str) -> None:
    """A setting, command or option that changed is not committed without its page: make docs."""
    assert set(MADE) == set(generator.PAGES)
    text = page(f"docs/{name}")
    assert generator.with_table(text, generator.PAGES[name]()) == text


def test_every_option_that_help_shows_is_on_the_page() -> None:
    """Asked the other way round: each command's own help names nothing the page lacks."""
    sections = page("docs/cli.md").split("\n### ")[1:]
    words = [re.match(r"`([a-z \-]+)", section) for section in sections]
    paths = [found[1].split()[1:] for found in words if found is not None]
    assert ["tokens", "import"] in paths and len(paths) == len(sections) > 10
    for path, section in zip(paths, sections, strict=True):
        shown = CliRunner().invoke(app, [*path, "--help"])
        assert shown.exit_code == 0, path
        options = set(re.findall(r"(?<![\w-])--[a-z-]+", shown.output.partition("Options:")[2]))
        assert options - {"--help"} <= set(re.findall(r"--[a-z-]+", section)), path
        for command in re.findall(r"^  ([a-z]+) ", shown.output.partition("Commands:")[2], re.M):
            assert any(found[: len(path) + 1] == [*path, command] for found in paths), command


def test_every_variable_and_key_is_on_the_page() -> None:
    """Not one setting is missing, however its table is made."""
    text = page("docs/settings.md")
    for setting in (*catalogue(), *upstream_catalogue()):
        for variable in setting.env:
            assert f"`{variable}`" in text, variable
        assert setting.not_in_file or f"| `{setting.name}` |" in text, setting.key


@pytest.mark.parametrize(("name", "number", "block"), TOML_BLOCKS)
def test_every_example_of_a_configuration_file_loads(
    tmp_path: Path, name: str, number: int, block: str
) -> None:
    """What a reader copies is taken by the real loader without a problem or a warning."""
    secret = tmp_path / "secret.txt"
    secret.write_text("sk-from-a-file\n")
    text = re.sub(r'"file:[^"]+"', f'"file:{secret}"', block)
    (tmp_path / "config.toml").write_text(text, "utf-8")
    environ = {
        "CHATGPT_TO_API_DATA_DIR": str(tmp_path),
        **dict.fromkeys(re.findall(r'"env:(\w+)"', block), "sk-from-a-variable"),
    }
    loaded = load(environ=environ, folder=tmp_path)
    assert loaded.warnings == ()
    assert str(tmp_path / "config.toml") in loaded.origins.values(), "nothing of it was taken"


def test_there_is_an_example_of_a_configuration_file() -> None:
    """The test above is not about an empty list."""
    assert len(TOML_BLOCKS) >= 3


def test_the_example_of_a_dotenv_file_changes_nothing_until_edited(tmp_path: Path) -> None:
    """Copied as it is, it leaves every setting at its default; each of its lines is a setting."""
    lines = page(".env.example").splitlines()
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
    environ = {"HOME": str(tmp_path)}
    loaded = load(environ=environ, folder=tmp_path)
    assert set(loaded.origins.values()) == {"default"}
    known = {name for setting in (*catalogue(), *upstream_catalogue()) for name in setting.env}
    offered = {line[1:].partition("=")[0] for line in lines if "=" in line and line[1:2] != " "}
    assert offered and offered <= known


def test_every_line_of_the_dotenv_example_works_with_a_value(tmp_path: Path) -> None:
    """With the # taken away, what stands there is taken as the value."""
    text = page(".env.example")
    lines = [line[1:] for line in text.splitlines() if "=" in line and line[1:2] != " "]
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
    loaded = load(environ={}, folder=tmp_path)
    given = [line.partition("=")[0] for line in lines if line.partition("=")[2]]
    taken = {origin.removeprefix(".env ") for origin in loaded.origins.values()}
    assert set(given) <= taken
    assert loaded.warnings == ()
