"""What of a configuration that was read again holds at once, and what of the store fits it."""

from __future__ import annotations

from pathlib import Path

from chatgpt_to_api.assembly.running import only_live, take_stored, to_store
from chatgpt_to_api.config.load import Loaded, load
from chatgpt_to_api.config.managed import merge_what_fits
from chatgpt_to_api.store.managed import StoredEntry, StoredManaged

URL = "http://127.0.0.1:9/v1"


def loaded(folder: Path, text: str) -> Loaded:
    (folder / "config.toml").write_text(text)
    return load(environ={"CHATGPT_TO_API_DATA_DIR": str(folder)}, folder=folder)


def test_only_what_can_change_at_once_is_taken(tmp_path: Path) -> None:
    """The rest keeps its value and its origin, and is named; what went back counts as well."""
    running = loaded(tmp_path, "[server]\nport = 1\n[limits]\nqueue_wait = 1\nhold = 1\n")
    fresh = loaded(
        tmp_path,
        f'well_known_models = ["x"]\n[log]\nlevel = "debug"\n[limits]\nqueue_wait = 2\nhold = 2\n'
        f'[upstreams.v]\nkind = "openai"\nbase_url = "{URL}"\n'
        '[[routes]]\nmodel = "m"\ncandidates = [{ upstream = "v" }]\n',
    )
    taken, restart = only_live(running, fresh)
    settings = taken.settings
    assert restart == ("server.port", "limits.hold", "log.level")
    assert (settings.server.port, settings.limits.hold, settings.log.level) == (1, 1.0, "info")
    assert (settings.limits.queue_wait, settings.well_known_models) == (2.0, ("x",))
    assert list(settings.upstreams) == ["v"] and len(settings.routes) == 1
    file = str(tmp_path / "config.toml")
    assert taken.origins["limits.queue_wait"] == taken.origins["upstreams.v.base_url"] == file
    assert taken.origins["log.level"] == "default"
    gone, restart = only_live(taken, loaded(tmp_path, "[server]\nport = 1\n[limits]\nhold = 1\n"))
    assert gone.settings.upstreams == {} and gone.settings.limits.queue_wait == 30.0
    assert "upstreams.v.base_url" not in gone.origins and restart == ()


def test_what_is_stored_is_taken_as_it_was_sent(tmp_path: Path) -> None:
    """Round the store and back nothing is added, lost or changed."""
    configured = loaded(tmp_path, "")
    stored = StoredManaged(
        5,
        (
            StoredEntry("v", {"kind": "openai", "base_url": URL, "models": ["a", "b*"]}, 1.5),
            StoredEntry(
                "c",
                {"kind": "conversation", "base_url": URL, "headers": {"x-a": "secret"}},
                2.5,
            ),
        ),
        (
            StoredEntry(
                "r",
                {"model": "m", "candidates": [{"upstream": "v", "parameters": {"seed": 7}}]},
                3.5,
            ),
        ),
    )
    managed, told = take_stored(stored, configured.settings)
    assert told == ()
    assert to_store(5, managed) == stored


def test_what_does_not_fit_any_more_is_left_out_and_told(tmp_path: Path) -> None:
    """The file has the name now, a route lost its end, a field is unknown: the rest stands."""
    stored = StoredManaged(
        1,
        (
            StoredEntry("v", {"kind": "openai", "base_url": URL}, 1.0),
            StoredEntry("w", {"kind": "openai", "base_url": URL}, 1.0),
            StoredEntry("x", {"kind": "openai", "base_url": URL, "colour": "red"}, 1.0),
        ),
        (
            StoredEntry("1", {"model": "m", "candidates": [{"upstream": "gone"}]}, 1.0),
            StoredEntry("2", {"model": "n", "candidates": [{"route": "m"}]}, 1.0),
            StoredEntry("3", {"model": "o", "candidates": [{"upstream": "w"}]}, 1.0),
            StoredEntry("4", {"model": "p"}, 1.0),
        ),
    )
    configured = loaded(tmp_path, f'[upstreams.v]\nkind = "openai"\nbase_url = "{URL}"\n')
    managed, told = take_stored(stored, configured.settings)
    merged, fitting, left_out = merge_what_fits(configured, managed)
    assert [one.name for one in fitting.upstreams] == ["w"]
    assert [one.id for one in fitting.routes] == ["3"]
    assert list(merged.settings.upstreams) == ["v", "w"]
    assert merged.origins["upstreams.w.base_url"] == merged.origins["routes[0]"] == "store"
    assert len(told) == 2 and len(left_out) == 3
    assert "upstreams.x.colour" in told[0] and "routes[3]" in told[1]
    assert "upstreams.v" in left_out[0]
