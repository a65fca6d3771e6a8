"""Read the configuration: option, environment, ``.env``, TOML file, default; the first one wins.

Everything that is wrong is found in one go, each problem by the name the person wrote.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from chatgpt_to_api.config.catalogue import (
    Setting,
    catalogue,
    plain,
    struct_fields,
    upstream_catalogue,
)
from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.reading import Reading, find_outside
from chatgpt_to_api.config.routes import read_routes
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.sources import (
    CONFIG_NAME,
    DEFAULT,
    DOTENV_NAME,
    Found,
    Variables,
    read_dotenv,
    read_toml,
)
from chatgpt_to_api.config.upstreams import read_upstreams

_OUR_PREFIX: Final = "CHATGPT_TO_API_"

_MISSPELT: Final = 0.8
"""How much a name in ``.env`` is like one of ours (1 is the same) if it was meant to be it."""
_PLACES: Final = ("data_dir", "config_file")
"""Settings that say where the others are; they are read first."""


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and what a person wants to know about how they came to be.

    ``origins``: setting key (``server.port``, ``upstreams.vendor.base_url``) → where its value came
    from: ``environment SERVER_PORT``, ``.env SERVER_PORT``, ``option --port``, the path of the
    configuration file, or ``default``. ``warnings``: whole sentences for the start-up.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def load(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Loaded:
    """Read all settings and check them; nothing is written.

    ``environ``: the environment (default: the process's own). ``folder``: where ``.env`` is looked
    for, and what relative paths outside the file are relative to (default: the working directory).
    ``options``: setting key → text, as the command line gave it (``{"data_dir": …}``). Raises
    ConfigError with every problem there is.
    """
    folder = (folder or Path.cwd()).absolute()
    variables = Variables(
        os.environ if environ is None else environ, read_dotenv(folder / DOTENV_NAME)
    )
    reading, values = _open(variables, folder, options or {})
    for setting in catalogue():
        if setting.key not in _PLACES:
            section, _, _ = setting.key.rpartition(".")
            table = reading.table(section) if section else reading.toml
            values[setting.key] = reading.value(
                setting, setting.key, table, reading.outside(setting)
            )
    _refuse_unknown_keys(reading)
    built = _sections(values)
    built["tokens"] = _tokens_with_path(reading, built["tokens"], folder)
    built["upstreams"], built["conversation_default"] = read_upstreams(reading, built["server"])
    built["routes"] = read_routes(reading, built["upstreams"])
    _warn_of_unknown_variables(reading)
    if reading.problems:
        raise ConfigError([str(problem) for problem in reading.problems])
    return Loaded(Settings(**built), reading.origins, tuple(reading.warnings))


def default_data_dir() -> Path:
    """Return the platform's folder for this program's data, as this user."""
    from platformdirs import user_data_path  # not needed where the folder is given

    return user_data_path("chatgpt-to-api", appauthor=False)


def _open(
    variables: Variables, folder: Path, options: Mapping[str, str]
) -> tuple[Reading, dict[str, Any]]:
    """Find the data folder and the configuration file, each of which may name the other."""
    keys = {setting.key: setting for setting in catalogue()}
    named = find_outside(keys["config_file"], options, variables)
    place = find_outside(keys["data_dir"], options, variables)
    data_dir = _path(folder, place.text) if place else default_data_dir()
    if named is not None:
        file: Path | None = _path(folder, named.text)
    else:
        file = data_dir / CONFIG_NAME if (data_dir / CONFIG_NAME).is_file() else None
    try:
        toml = read_toml(file) if file is not None else {}
    except ConfigError as error:
        by = f"{named.name}: " if named is not None else ""
        raise ConfigError([by + problem for problem in error.problems]) from None
    reading = Reading(variables, options, file, toml, file.parent if file else folder)
    reading.origins["config_file"] = named.origin if named else DEFAULT
    reading.origins["data_dir"] = place.origin if place else DEFAULT
    if "data_dir" in toml:
        data_dir = _data_dir_of_file(reading, keys["data_dir"], place, named, data_dir)
    return reading, {"config_file": str(file or ""), "data_dir": str(data_dir)}


def _data_dir_of_file(
    reading: Reading, setting: Setting, place: Found | None, named: Found | None, data_dir: Path
) -> Path:
    """Return the data folder, given a file that names one too."""
    said = reading.toml["data_dir"]
    if named is None:
        what = f"cannot stand in the data folder's own {CONFIG_NAME}; use {setting.env[0]}"
        reading.file_problem("data_dir", what)
    elif not isinstance(said, str) or not said:
        reading.file_problem("data_dir", "expected the path of a folder")
    elif place is None:
        reading.origins["data_dir"] = str(reading.file)
        return _path(reading.folder, said)
    return data_dir


def _sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values by key (``server.port``) into the structs of their sections."""
    built = {key: value for key, value in values.items() if "." not in key}
    for field in struct_fields(Settings):
        kind = plain(field.type)
        prefix = f"{field.name}."
        inside = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
        if inside and isinstance(kind, msgspec.inspect.StructType):
            built[field.name] = kind.cls(**inside)
    return built


def _tokens_with_path(reading: Reading, tokens: Any, folder: Path) -> Any:
    """Make the path of the token file absolute."""
    if not tokens.access_tokens_file:
        return tokens
    in_file = reading.origins["tokens.access_tokens_file"] == str(reading.file)
    path = _path(reading.folder if in_file else folder, tokens.access_tokens_file)
    return msgspec.structs.replace(tokens, access_tokens_file=str(path))


def _refuse_unknown_keys(reading: Reading) -> None:
    keys = {s.key for s in catalogue() if not s.not_in_file}
    sections = {key.partition(".")[0] for key in keys if "." in key}
    for name, content in reading.toml.items():
        if name in {"upstreams", "routes"} or name in keys:
            continue
        if name not in sections:
            reading.unknown_key(name, [*sorted(sections | {"upstreams", "routes"}), *sorted(keys)])
        elif not isinstance(content, dict):
            reading.file_problem(name, f"expected a table [{name}]")
        else:
            for key in (f"{name}.{inside}" for inside in content):
                if key not in keys:
                    reading.unknown_key(key, sorted(keys))


def _warn_of_unknown_variables(reading: Reading) -> None:
    known = {name for s in (*catalogue(), *upstream_catalogue()) for name in s.env}
    written = reading.variables.names_in_dotenv()
    for name in sorted(reading.variables.names() - known):
        if name.startswith(_OUR_PREFIX):
            close = get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else "."
        elif name in written and (close := get_close_matches(name, known, 1, _MISSPELT)):
            hint = f"; did you mean {close[0]}?"
        else:
            continue
        reading.warnings.append(f"{name} is no variable of this program{hint}")


def _path(folder: Path, text: str) -> Path:
    return folder / Path(text).expanduser()
