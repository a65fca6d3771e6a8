"""``upstreams``: what the gateway calls, by which credentials, and whether it can now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from chatgpt_to_api.cli.exits import CODES
from chatgpt_to_api.cli.gateway_client import GatewayClient, ending_on_errors
from chatgpt_to_api.cli.models import configured_upstreams
from chatgpt_to_api.cli.options import Config, DataDir, Json, Url, Verbose, new_app, settings
from chatgpt_to_api.cli.output import for_terminal, plural, print_json, span, table
from chatgpt_to_api.cli.running import find_admin
from chatgpt_to_api.pool.contract import UpstreamView

if TYPE_CHECKING:
    from chatgpt_to_api.config.settings import Settings

app = new_app()


class Upstream(msgspec.Struct, frozen=True):
    """One line of the list.

    ``models`` is None where it claims none, ``credentials`` where only a running gateway can count
    them. ``state`` is a sentence; ``pool`` the numbers behind it, None where nothing is in force.
    """

    name: str
    kind: str
    address: str
    models: tuple[str, ...] | None
    credentials: int | None
    state: str
    pool: UpstreamView | None = None


@app.command(epilog=CODES)
def upstreams(
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    password: Annotated[
        str | None,
        typer.Option(
            "--password",
            "-p",
            help="Admin password of a gateway named by --url; else ADMIN_PASSWORD.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """List the upstreams: of the running gateway, with their state and those given at run time;
    else those of the configuration.
    """
    loaded = settings(config, data_dir)
    gateway = find_admin(loaded, url, password)
    with ending_on_errors():
        found = _running(gateway) if gateway is not None else _configured(loaded.settings)
    if as_json:
        print_json({"gateway": gateway.url if gateway else None, "upstreams": found})
        return
    said = f"of {gateway.url}" if gateway else "no gateway runs; as configured"
    print(f"{plural(len(found), 'upstream')} ({said}):")
    rows = [
        [
            one.name,
            one.kind,
            one.address or "-",
            "-" if one.credentials is None else str(one.credentials),
            one.state,
            "-" if one.models is None else ", ".join(one.models),
        ]
        for one in found
    ]
    head = ["NAME", "KIND", "ADDRESS", "CREDENTIALS", "STATE", "MODELS"]
    print(for_terminal(table(head, rows)))


def _running(gateway: GatewayClient) -> list[Upstream]:
    """Ask a gateway for them. Raises GatewayAway, GatewayRefused."""
    return [_shown(one) for one in gateway.call("GET", "/admin/upstreams")["upstreams"]]


def _shown(one: dict[str, Any]) -> Upstream:
    values = {name: setting["value"] for name, setting in one["settings"].items()}
    pool = msgspec.convert(one["state"], UpstreamView | None)
    models = values.get("models")
    return Upstream(
        one["name"],
        values["kind"],
        values.get("base_url", ""),
        None if models is None else tuple(models),
        one["credentials"],
        "not in force" if pool is None else _state(pool),
        pool,
    )


def _state(pool: UpstreamView) -> str:
    if not pool.open:
        until = f" for {span(pool.until - time.time())}" if pool.until is not None else ""
        return f"resting{until}" + (f" ({pool.reason})" if pool.reason else "")
    if not pool.total:
        return "no credentials"
    others = {
        "busy": pool.busy,
        "cooling": pool.cooling,
        "invalid": pool.invalid,
        "disabled": pool.disabled,
    }
    told = [f"{count} {state}" for state, count in others.items() if count]
    return ", ".join([f"{pool.ready} ready of {pool.total}", *told])


def _configured(configured: Settings) -> list[Upstream]:
    """Name those of the settings, without asking any."""
    return [
        Upstream(
            name,
            upstream.kind,
            upstream.base_url,
            upstream.models,
            # Access tokens stand in the store, which only their own commands open.
            None if upstream.kind == "conversation" else len(upstream.api_keys),
            "not running",
        )
        for name, upstream in configured_upstreams(configured).items()
    ]
