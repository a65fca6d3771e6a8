"""Tokens in files and variables, imported when their content changes."""

from __future__ import annotations

from pathlib import Path

from chatgpt_to_api.admin.token_import import TokenImport
from support.admin_rig import Rig, open_rig

FILE, VARIABLE = "access_tokens.json", "ACCESS_TOKENS"


async def stored(rig: Rig) -> list[str]:
    return [one.access.token.reveal() for one in await rig.tokens.of() if one.access.token]


async def started(rig: Rig, **sources: bytes) -> TokenImport:
    """What a start does: read every source, then begin."""
    importing = TokenImport(rig.store, rig.tokens)
    for name, content in sources.items():
        await importing.offer(name, content)
    await importing.begin()
    return importing


async def test_a_file_is_imported_when_its_content_differs_from_the_last_import(
    data_dir: Path,
) -> None:
    """A PATCH holds over restarts beside an unchanged file; a changed file is newer news."""
    async with open_rig(data_dir) as rig:
        await started(rig, file=b'["a", "b"]')
        assert await stored(rig) == ["a", "b"] and len(rig.pooled()) == 2
        await rig.ask("PATCH", "/admin/tokens", ["patched"])
    async with open_rig(data_dir) as rig:
        importing = await started(rig, file=b'["a", "b"]')
        assert await stored(rig) == ["patched"]
        await importing.offer("file", b'["a", "b", "c"]')
        assert await stored(rig) == ["a", "b", "c"]


async def test_all_sources_together_are_the_set(rig: Rig) -> None:
    """The variable's and the file's tokens stand together; a change of one keeps the other's."""
    importing = await started(rig, variable=b"v1,v2", file=b'["f1"]')
    assert await stored(rig) == ["v1", "v2", "f1"]
    await importing.offer("file", b'["f2", "v1"]')
    assert await stored(rig) == ["v1", "v2", "f2"]


async def test_only_an_explicit_empty_list_clears(rig: Rig) -> None:
    """An empty file, null or a removed one leave the tokens; [] takes them away."""
    importing = await started(rig, file=b'["a"]')
    for content in (b"", b"null", b"# nothing", None):
        assert await importing.offer("file", content) == []
        assert await stored(rig) == ["a"]
    await importing.offer("file", b"[]")
    assert await stored(rig) == []


async def test_a_broken_file_leaves_the_tokens_and_says_so(data_dir: Path) -> None:
    """Half-written while running, or broken at start: the stored set stands."""
    async with open_rig(data_dir) as rig:
        importing = await started(rig, file=b'["a", "b"]')
        complaints = await importing.offer("file", b'["a", "b')
        assert "not JSON" in complaints[0] and "nothing was imported" in complaints[1]
        assert await stored(rig) == ["a", "b"]
    async with open_rig(data_dir) as rig:
        importing = await started(rig, file=b'["a", ', variable=b"v")
        assert await stored(rig) == ["a", "b"]
        await importing.offer("file", b'["c"]')
        assert await stored(rig) == ["v", "c"]


async def test_what_is_good_is_taken_and_the_rest_is_told(rig: Rig) -> None:
    """Bad lines do not hold up good ones; only the first few are told one by one."""
    importing = await started(rig)
    lines = b"good\n" + b"sk-not-a-token\n" * 7
    complaints = await importing.offer("file", lines)
    assert await stored(rig) == ["good"]
    assert len(complaints) == 6
    assert complaints[0].startswith("line 2: it is an API key")
    assert complaints[-1] == "and 2 more that were not taken"
