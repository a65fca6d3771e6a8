"""``explain``: where a model's name leads, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import msgspec
import typer

from chatgpt_to_api.cli.exits import CODES, Exit, stop
from chatgpt_to_api.cli.gateway_client import ending_on_errors
from chatgpt_to_api.cli.models import configured_routes
from chatgpt_to_api.cli.options import Config, DataDir, Json, Url, Verbose, new_app, settings
from chatgpt_to_api.cli.output import for_terminal, print_json, table
from chatgpt_to_api.cli.running import find_admin
from chatgpt_to_api.errors import GatewayError

if TYPE_CHECKING:
    from chatgpt_to_api.chat.needs import Need
    from chatgpt_to_api.config.settings import Settings
    from chatgpt_to_api.gateway.explain import Explanation, Step

app = new_app()


@app.command(epilog=CODES)
def explain(
    model: Annotated[str, typer.Argument(help="Name of the model, as a client would ask for it.")],
    tools: Annotated[bool, typer.Option("--tools", help="The request has tools.")] = False,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="The reply has to be JSON.")
    ] = False,
    image: Annotated[bool, typer.Option("--image", help="The request has a picture.")] = False,
    audio: Annotated[bool, typer.Option("--audio", help="The request has sound.")] = False,
    file: Annotated[bool, typer.Option("--file", help="The request has a file.")] = False,
    tokens: Annotated[
        int, typer.Option("--tokens", min=0, help="How long the prompt is, tokens.")
    ] = 0,
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
    """Show the path a request for MODEL would take: of the running gateway, with the state of each
    candidate, else as the configuration has it.
    """
    from chatgpt_to_api.gateway.explain import Explanation

    asked: dict[Need, bool] = {
        "tools": tools,
        "json": json_schema,
        "images": image,
        "audio": audio,
        "files": file,
    }
    needs = [need for need, wanted in asked.items() if wanted]
    loaded = settings(config, data_dir)
    gateway = find_admin(loaded, url, password)
    if gateway is None:
        found = _configured(loaded.settings, model, needs, tokens)
    else:
        asking = {"model": model, "needs": ",".join(needs), "tokens": tokens or ""}
        query = urlencode({name: value for name, value in asking.items() if value})
        with ending_on_errors():
            answer = gateway.call("GET", f"/admin/explain?{query}")
        found = msgspec.convert(answer, Explanation)
    if as_json:
        print_json({"gateway": gateway.url if gateway else None, **msgspec.to_builtins(found)})
        return
    print(for_terminal("\n".join(_lines(found))))


def _configured(configured: Settings, model: str, needs: list[Need], tokens: int) -> Explanation:
    from chatgpt_to_api.chat.needs import Needs
    from chatgpt_to_api.gateway.explain import explain

    asked = Needs(dict.fromkeys(needs, ""), tokens)
    try:
        routes = configured_routes(configured)
        return explain(routes, configured.limits, None, None, model, asked)
    except GatewayError as error:
        stop(Exit.REFUSED, error.text)


def _lines(found: Explanation) -> list[str]:
    rows = [
        [str(n), s.upstream, s.model, s.verdict, _state(s)] for n, s in enumerate(found.steps, 1)
    ]
    return [
        f"{found.model}: {found.rule}",
        f"strategy {found.strategy}, at most {found.max_attempts} attempts; "
        f"whole request {found.request_deadline:g} s, silence {found.read_timeout:g} s, "
        f"queue {found.queue_wait:g} s",
        table(["", "UPSTREAM", "MODEL THERE", "IT IS", "WHY"], rows),
    ]


def _state(step: Step) -> str:
    said = [step.why] if step.why else []
    if step.state is not None and step.verdict == "asked":
        said.append(f"{step.state.ready} ready of {step.state.total}")
    if step.first_content is not None:
        said.append(f"first content after {step.first_content:g} s")
    return ", ".join(said)
