"""Read the routes: the file's ``[[routes]]`` tables, and whether what they name exists."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chatgpt_to_api.config.reading import Reading
from chatgpt_to_api.config.settings import CONVERSATION, LOCAL, RouteSettings
from chatgpt_to_api.config.sources import DEFAULT


def read_routes(reading: Reading, upstreams: Iterable[str]) -> tuple[RouteSettings, ...]:
    """Return the routes; what is wrong with one is noted with its place in the list."""
    # Two upstreams appear by themselves: with tokens, and as the embedded model.
    known = {*upstreams, CONVERSATION, LOCAL}
    tables = reading.toml.get("routes", [])
    if not isinstance(tables, list):
        reading.file_problem("routes", "expected tables [[routes]]")
        return ()
    routes = []
    for place, table in enumerate(tables):
        where = f"routes[{place}]"
        try:
            route = msgspec.convert(table, RouteSettings)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            reading.file_problem(where + path.rstrip("`"), what[:1].lower() + what[1:])
            continue
        if not route.model.strip():
            reading.file_problem(f"{where}.model", "expected a model name or glob")
        for number, candidate in enumerate(route.candidates):
            if candidate.upstream not in known:
                reading.file_problem(
                    f"{where}.candidates[{number}].upstream",
                    f"expected one of {', '.join(sorted(known))}; got {candidate.upstream!r:.80}",
                )
        routes.append(route)
    reading.origins["routes"] = str(reading.file) if routes else DEFAULT
    return tuple(routes)
