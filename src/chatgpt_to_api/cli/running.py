"""Which gateway a command talks to: the one named, else the one that holds the data folder."""

from __future__ import annotations

from pathlib import Path

from chatgpt_to_api.cli.exits import Exit, stop
from chatgpt_to_api.cli.gateway_client import GatewayClient, connect, local_url
from chatgpt_to_api.config.list_files import parse_api_keys
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.store.lock import Holder, find_holder
from chatgpt_to_api.wire.secret import Secret


def find_gateway(loaded: Loaded, url: str | None, key: str | None) -> GatewayClient | None:
    """Return the gateway whose doors to use, None if none is named and none runs here.

    Without ``key`` the gateway of this folder gets one of the folder's own client keys; a gateway
    elsewhere never does.
    """
    given = Secret(key) if key else None
    if url is not None:
        return connect(url, given)
    holder = holder_of(loaded)
    if holder is None or not holder.url:
        return None
    return connect(holder.url, given or client_key(loaded))


def configured_gateway(loaded: Loaded, key: str | None) -> GatewayClient:
    """Return the gateway that would listen where the settings say, whether it runs or not."""
    server = loaded.settings.server
    return connect(local_url(server.host, server.port), Secret(key) if key else client_key(loaded))


def find_admin(loaded: Loaded, url: str | None, password: str | None) -> GatewayClient | None:
    """Return the gateway to administer, None if none is named and none holds the data folder.

    The gateway of this folder is given its run key, so no password is needed. Ends the command if
    something that is no gateway works on the folder, or a gateway that does not listen yet.
    """
    if url is not None:
        given = Secret(password) if password else loaded.settings.admin.password
        if given is None:
            stop(Exit.USAGE, "A gateway elsewhere wants its password: --password, ADMIN_PASSWORD.")
        return connect(url, given)
    holder = holder_of(loaded)
    if holder is None:
        return None
    if not holder.url:
        stop(
            Exit.UNAVAILABLE,
            f"The data folder {loaded.settings.data_dir} is in use by process {holder.pid}, "
            "which listens nowhere (yet). Try again in a moment.",
        )
    return connect(holder.url, Secret(holder.run_key))


def holder_of(loaded: Loaded) -> Holder | None:
    """Return who holds the data folder of these settings."""
    return find_holder(Path(loaded.settings.data_dir))


def client_key(loaded: Loaded) -> Secret | None:
    """Return the first client key of these settings and this data folder, None without keys."""
    if loaded.settings.server.api_keys:
        return loaded.settings.server.api_keys[0]
    try:
        content = Path(loaded.settings.data_dir, "api_keys.txt").read_bytes()
    except OSError:
        return None
    return next(iter(parse_api_keys(content).keys), None)
