from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from chatgpt_to_api.config.catalogue import catalogue, upstream_catalogue
from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.load import load
from chatgpt_to_api.config.values import from_text, from_toml
from chatgpt_to_api.wire.secret import Secret

SETTINGS = [*catalogue(), *upstream_catalogue()]
VARIABLES = sorted({name for setting in SETTINGS for name in setting.env})
TOML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def no_reference(text: str) -> Secret:
    return Secret(text)


@given(st.sampled_from(SETTINGS), TOML)
def test_a_value_of_any_shape_is_taken_or_refused(setting: Any, value: object) -> None:
    """No value of the file does anything but give a setting or a ValueError."""
    with contextlib.suppress(ValueError):
        from_toml(value, setting.type, no_reference)


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=20), max_size=4))
def test_any_environment_is_taken_or_refused_by_name(environ: dict[str, str]) -> None:
    """Whatever the variables hold, loading ends well or names one of them."""
    environ.pop("CHATGPT_TO_API_CONFIG", None)
    environ["CHATGPT_TO_API_DATA_DIR"] = "/nowhere"
    try:
        load(environ=environ, folder=Path("/"))
    except ConfigError as error:
        for problem in error.problems:
            assert problem.partition(":")[0] in environ


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_written(number: float) -> None:
    """A variable and the file give the same number."""
    kind = inspect.FloatType()
    assert from_text(repr(number), kind) == from_toml(number, kind, no_reference) == number
    assert not math.isnan(from_text(repr(number), kind))


@given(st.lists(st.text("abc*-.", min_size=1, max_size=5), max_size=5))
def test_a_list_is_read_as_it_is_written(items: list[str]) -> None:
    """Commas with blanks and empty places between them make the same list as the file's."""
    kind = inspect.VarTupleType(inspect.StrType())
    assert from_text(" , ".join(items) + ",", kind) == from_toml(items, kind, no_reference)
