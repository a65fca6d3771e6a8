"""``models``: what can be asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from chatgpt_to_api.cli.exits import CODES
from chatgpt_to_api.cli.gateway_client import GatewayClient, ending_on_errors
from chatgpt_to_api.cli.options import Config, DataDir, Json, Url, Verbose, new_app, settings
from chatgpt_to_api.cli.output import plural, print_json, table
from chatgpt_to_api.cli.running import find_gateway
from chatgpt_to_api.config.settings import Settings

if TYPE_CHECKING:
    from chatgpt_to_api.config.upstream_settings import UpstreamSettings
    from chatgpt_to_api.gateway.routes import Routes

app = new_app()


class Model(msgspec.Struct, frozen=True):
    """One model of the list: the name to ask for, and who serves it."""

    id: str
    owned_by: str = ""


class _List(msgspec.Struct):
    data: list[Model] = []


@app.command(epilog=CODES)
def models(
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", help="Client key, where it wants one.", show_default=False),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """List the models: of the running gateway, else those the configuration would route."""
    loaded = settings(config, data_dir)
    gateway = find_gateway(loaded, url, key)
    with ending_on_errors():
        found = list_models(gateway) if gateway is not None else _configured(loaded.settings)
    if as_json:
        print_json({"gateway": gateway.url if gateway else None, "models": found})
        return
    said = f"served by {gateway.url}" if gateway else "no gateway runs; the configuration routes"
    print(f"{plural(len(found), 'model')} ({said}):")
    print(table(["MODEL", "UPSTREAM"], [[model.id, model.owned_by] for model in found]))


def list_models(gateway: GatewayClient) -> list[Model]:
    """Ask a gateway for its models. Raises GatewayAway, GatewayRefused."""
    return msgspec.convert(gateway.call("GET", "/v1/models"), _List).data


def _configured(configured: Settings) -> list[Model]:
    """Name what the settings would route, without asking any upstream."""
    from chatgpt_to_api.gateway.models import ModelList

    cards = ModelList(born=int(time.time())).cards(configured_routes(configured))
    return [Model(card.id, card.owned_by) for card in cards]


def configured_routes(configured: Settings) -> Routes:
    """Return the routes that the settings would make; their upstreams cannot be called."""
    from chatgpt_to_api.gateway.build import build_routes
    from chatgpt_to_api.gateway.local_endpoint import LocalEndpoint
    from chatgpt_to_api.local_model.model_file import MODEL_NAME, VECTOR_SIZE
    from chatgpt_to_api.local_model.runtime import runtime_available
    from chatgpt_to_api.transport.environment import ProxyRules

    async def at_once(deadline: float) -> None:  # noqa: ARG001
        return

    # The address is never called: only the names matter here.
    local = LocalEndpoint(
        "http://127.0.0.1/v1",
        (MODEL_NAME,),
        VECTOR_SIZE,
        configured.embedded_model.context,
        configured.embedded_model.parallel,
        at_once,
    )
    return build_routes(
        configured,
        configured_upstreams(configured),
        local if runtime_available() else None,
        ProxyRules(),
    )


def configured_upstreams(configured: Settings) -> dict[str, UpstreamSettings]:
    """Return the upstreams that a start with these settings would put in force."""
    tokens = bool(configured.tokens.access_tokens) or Path(configured.token_file).exists()
    return configured.upstreams_with(tokens=tokens)
