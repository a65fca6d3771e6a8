"""Token tables: which one counts for a model, loaded once, exact."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.telemetry.token_tables import encoding_of


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("text-davinci-002-render-sha", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("o3", "o200k_base"),
        ("some-model", "o200k_base"),
    ],
)
def test_each_model_is_counted_with_its_table(model: str, encoding: str) -> None:
    """Only models known to be older use the older table."""
    assert encoding_of(model) == encoding


async def test_a_table_is_loaded_once_however_many_ask() -> None:
    """Requests that come together share one table."""
    tables = await asyncio.gather(*(token_tables.ensure("gpt-4o") for _ in range(5)))
    assert all(table is tables[0] for table in tables)
    assert (await token_tables.ensure("gpt-4")).encoding == "cl100k_base"


async def test_counts_known_from_the_vendors_own_tokenizer() -> None:
    """The counts are those of tiktoken for these texts."""
    o200k = (await token_tables.ensure("gpt-4o")).count
    cl100k = (await token_tables.ensure("gpt-4")).count
    assert o200k("hello world") == cl100k("hello world") == 2
    assert cl100k("tiktoken is great!") == 6
    assert cl100k("お誕生日おめでとう") == 9
    assert o200k("") == 0
    # Special tokens in somebody's text are plain text, not one token.
    assert o200k("<|endoftext|>") > 1


@given(st.text())
def test_count_is_the_length_of_the_encoding(text: str) -> None:
    """Counting without a list of tokens gives the list's length."""
    from chatgpt_to_api.telemetry.token_tables import _bindings

    tokenizer = _bindings().tokenizer_for_encoding("o200k_base")
    assert tokenizer.count(text) == len(tokenizer.encode(text))


def test_the_package_may_be_imported_as_well() -> None:
    """Loading the compiled part alone does not break a plain import of the package."""
    code = (
        "import asyncio, sys\n"
        "from chatgpt_to_api.telemetry import token_tables\n"
        "assert 'bpe_openai' not in sys.modules\n"
        "table = asyncio.run(token_tables.ensure('gpt-4o'))\n"
        "assert 'bpe_openai' not in sys.modules\n"
        "import bpe_openai\n"
        "text = 'Counted twice.'\n"
        "assert table.count(text) == len(bpe_openai.get_encoding('o200k_base').encode(text))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_platform_without_the_tokenizer_gets_estimates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No wheel is no reason to fail a request: counts are estimates, and the log says so."""
    monkeypatch.setattr(token_tables, "_COMPILED", "bpe_openai._not_there")
    monkeypatch.setattr(token_tables, "_loaded", {})
    with capture_logs() as logs:
        table = await token_tables.ensure("gpt-4o")
    assert table.count("twelve bytes") == 3
    assert table.count("") == 0
    assert "estimates" in logs[0]["event"]


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-4o", True),
        ("gpt-3.5-turbo-instruct", True),
        ("davinci-002", True),
        ("o3-mini", True),
        ("gpt-oss-20b", False),
        ("gpt2", False),
        ("llama-3", False),
        ("text-davinci-003", False),
    ],
)
async def test_ids_are_read_only_for_models_whose_tables_these_are(model: str, known: bool) -> None:
    """Another model's ids would be another text."""
    assert (await token_tables.vendors(model) is not None) is known


@pytest.mark.parametrize(
    ("model", "beyond"), [("gpt-4o", 199_998), ("gpt-4", 100_256), ("gpt-4", 2**70), ("gpt-4", -1)]
)
async def test_ids_that_are_no_text_are_told(model: str, beyond: int) -> None:
    """The last ordinary id is one of text, the next one is not."""
    table = await token_tables.ensure(model)
    if 0 < beyond < 2**32:
        assert table.decode([beyond - 1]).strip()
    with pytest.raises(ValueError, match="is no token of text"):
        table.decode([beyond])
