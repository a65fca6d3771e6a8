"""``serve``: run the gateway until it is told to stop."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from chatgpt_to_api.cli.exits import CODES, Exit, stop
from chatgpt_to_api.cli.options import Config, DataDir, load_settings, new_app, settings

if TYPE_CHECKING:
    from chatgpt_to_api.assembly.gateway import Assembly
    from chatgpt_to_api.config.load import Loaded


app = new_app()


@app.command(epilog=CODES)
def serve(
    config: Config = None,
    data_dir: DataDir = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default=False)
    ] = None,
    port: Annotated[
        str | None, typer.Option("--port", "-p", help="Port to listen on.", show_default=False)
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Log every request; show the trace of an unexpected error."
        ),
    ] = False,
    log_format: Annotated[
        str | None,
        typer.Option(help="Form of the log lines: text or json.", show_default=False),
    ] = None,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM.

    Everything it needs to know can stand in the environment, a .env file, or config.toml in the
    data folder; chatgpt-to-api config show tells every setting.
    """
    options = {
        "server__host": host,
        "server__port": port,
        "log__level": "debug" if verbose else None,
        "log__format": log_format,
    }
    # Nearly all that a start makes stays: to look through it again and again for what does not
    # would be a tenth of the start.
    gc.disable()
    loaded = settings(config, data_dir, **options)
    with _without_rich():
        from chatgpt_to_api.telemetry.logs import configure_logs
    from chatgpt_to_api.local_model.errors import ModelUnavailable
    from chatgpt_to_api.server.listen import CannotListen, new_event_loop
    from chatgpt_to_api.store.errors import StoreError

    configure_logs(loaded.settings.log.level, loaded.settings.log.format)
    loop = new_event_loop()
    try:
        again = partial(load_settings, config, data_dir, **options)
        loop.run_until_complete(_serve(loaded, again))
    except (StoreError, CannotListen, ModelUnavailable) as error:
        stop(Exit.UNAVAILABLE, str(error))
    except KeyboardInterrupt:  # before the server took over the signals
        raise typer.Exit(Exit.INTERRUPTED) from None
    finally:
        loop.close()


@contextlib.contextmanager
def _without_rich() -> Iterator[None]:
    """Let structlog believe that rich is absent.

    It takes rich for coloured traces, which we do not print: 5 MB and 0.1 s of every start.
    """
    absent: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if "rich" in absent:
        yield
        return
    absent["rich"] = None
    try:
        yield
    finally:
        del absent["rich"]


async def _serve(loaded: Loaded, read_again: Callable[[], Loaded]) -> None:
    from pathlib import Path

    from chatgpt_to_api.assembly.gateway import assemble
    from chatgpt_to_api.server.listen import bind
    from chatgpt_to_api.server.listen import serve as listen
    from chatgpt_to_api.store.lock import FolderLock

    server = loaded.settings.server
    with FolderLock.take(Path(loaded.settings.data_dir)) as lock:
        sockets = bind(server.host, server.port)
        port = sockets[0].getsockname()[1]
        try:
            async with assemble(loaded, lock, read_again) as assembly:

                def started() -> None:
                    _reload_on_hangup(assembly)
                    lock.announce(
                        _url("127.0.0.1" if _anywhere(server.host) else server.host, port)
                    )
                    _say_hello(loaded, assembly, port)
                    # What the start left behind lives for good; it need not be looked at ever.
                    gc.freeze()
                    gc.enable()

                await listen(assembly.front, sockets, drain=server.drain, started=started)
        finally:
            for sock in sockets:
                sock.close()


def _reload_on_hangup(assembly: Assembly) -> None:
    """Let SIGHUP have the configuration read again, as daemons do.

    On a terminal it means that the terminal is gone, and ends the gateway as ever.
    """
    import asyncio
    import signal

    if sys.stdin is None or not sys.stdin.isatty():
        with contextlib.suppress(AttributeError, NotImplementedError):  # Windows has none
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, assembly.reload_soon)


def _say_hello(loaded: Loaded, assembly: Assembly, port: int) -> None:
    """Print what runs, in at most a dozen lines."""
    from chatgpt_to_api import __version__
    from chatgpt_to_api.assembly.gateway import warnings_of
    from chatgpt_to_api.gateway.routes import HOW_TO_BEGIN
    from chatgpt_to_api.server.home import example

    server = loaded.settings.server
    shown = "127.0.0.1" if _anywhere(server.host) else server.host
    status = assembly.overview.status()
    lines = [f"ChatGPT-to-API {__version__} listens on {_url(server.host, port)}"]
    # What cannot answer comes first: with many upstreams only some are shown.
    shown_upstreams = sorted(status.upstreams, key=lambda upstream: upstream.ready)[:4]
    for upstream in shown_upstreams:
        lines.append(f"  upstream {upstream.name} ({upstream.kind}): {upstream.says}")
        if upstream.advice:
            lines.append(f"    {upstream.advice}")
    if len(status.upstreams) > len(shown_upstreams):
        rest = len(status.upstreams) - len(shown_upstreams)
        lines.append(f"  and {rest} more upstream{'s' if rest > 1 else ''}")
    if not status.upstreams:
        lines += ["  no upstream is configured", f"    {HOW_TO_BEGIN}"]
    if assembly.password.made is not None:
        lines.append(
            f"  admin password (shown once, kept in the data folder): "
            f"{assembly.password.made.reveal()}"
        )
    warnings = warnings_of(loaded, assembly)
    room = 10 - len(lines)
    lines += [f"  warning: {warning}" for warning in warnings[:room]]
    if len(warnings) > room:
        lines[-1] = f"  and {len(warnings) - room + 1} more warnings: chatgpt-to-api doctor"
    at = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
    model = status.model or "gpt-3.5-turbo"
    lines.append("Try it:" if status.upstreams else "Then try it:")
    lines.append(f"  {example(at, model, keys=assembly.keys.configured)}")
    print("\n".join(lines), flush=True, file=sys.stdout)


def _anywhere(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host or '0.0.0.0'}:{port}"
