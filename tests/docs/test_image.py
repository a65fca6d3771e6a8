"""The image and the compose file: linted, consistent, and their steps replayed without Docker."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from chatgpt_to_api.config.catalogue import catalogue, upstream_catalogue
from support.dockerfile import Stage, stages
from support.gateway_process import GatewayProcess, clean_environment
from support.pages import REPOSITORY, page

TOOLS: Final = Path(sys.executable).parent

SETTINGS: Final = {name for s in (*catalogue(), *upstream_catalogue()) for name in s.env}

NOT_REPLAYED: Final = {
    "apt-get": "it installs a Debian package, which needs root and Debian",
    "useradd": "it makes a user and a folder of theirs, which needs root",
}
"""RUN steps that only a container can do, by their first word."""

PLACES: Final = re.compile(r"(?<![\w.])/(opt/build|opt/gateway|build|data)\b")
"""Folders of the image that the replay has in a folder of its own."""


@pytest.fixture
def image() -> list[Stage]:
    return stages(page("Dockerfile"))


@pytest.fixture
def compose() -> Any:
    return YAML(typ="safe").load(page("docker-compose.yml"))


def tool(*command: str) -> None:
    done = subprocess.run(
        [TOOLS / command[0], *command[1:]], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    """hadolint, shellcheck of its RUN lines included."""
    tool("hadolint", "Dockerfile")


def test_the_compose_file_keeps_to_the_specification() -> None:
    """It is valid by the Compose specification's own schema."""
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_the_image_runs_as_nobody_special_with_its_data_in_a_volume(image: list[Stage]) -> None:
    """A user by number, one volume, variables the gateway knows."""
    *_, final = image
    assert int(final.only("USER").partition(":")[0]) > 0
    assert final.only("VOLUME") == "/data"
    assert final.variables["CHATGPT_TO_API_DATA_DIR"] == "/data"
    assert final.variables["SERVER_HOST"] == "0.0.0.0"
    ours = {name for name in final.variables if name not in ("PATH", "HOME", "PYTHONUNBUFFERED")}
    assert ours <= SETTINGS


def test_what_is_copied_is_there_and_not_ignored(image: list[Stage]) -> None:
    """.dockerignore lets through exactly what the Dockerfile copies from the folder."""
    lines = [line for line in page(".dockerignore").splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in image
        for text in stage.texts("COPY")
        if not text.startswith("--from=")
        for source in text.split()[:-1]
    }
    assert copied == let_through
    assert all((REPOSITORY / source).exists() for source in copied)
    assert any(fnmatch("src/x/__pycache__", line.replace("**/", "*/")) for line in lines[1:])


def test_compose_publishes_on_loopback_only(compose: Any) -> None:
    """The port is the one the gateway listens on, and no stranger reaches it."""
    (service,) = compose["services"].values()
    assert service["ports"] == ["127.0.0.1:10080:10080"]
    assert service["environment"]["SERVER_PORT"] == "10080"
    assert service["volumes"] == ["data:/data"]
    assert compose["volumes"] == {"data": None}


def test_compose_offers_the_settings_and_forces_none(compose: Any) -> None:
    """Every variable is a setting of the gateway; without a value outside it is empty, so unset."""
    (service,) = compose["services"].values()
    environment = dict(service["environment"])
    assert set(environment) <= SETTINGS
    expected = "SERVER_HOST SERVER_PORT ADMIN_PASSWORD API_REVERSE_PROXY PUID ACCESS_TOKENS"
    expected += " ACCESS_TOKENS_FILE ENABLE_HISTORY http_proxy https_proxy all_proxy no_proxy"
    assert set(expected.split()) <= set(environment)
    assert environment.pop("SERVER_HOST") == "0.0.0.0"
    assert environment.pop("SERVER_PORT") == "10080"
    assert environment.pop("ENABLE_HISTORY") == "${ENABLE_HISTORY:-false}"
    for name, value in environment.items():
        assert value in ("", f"${{{name}:-}}"), name


def replay(image: list[Stage], root: Path) -> list[str]:
    """Do what the build does, below ``root``; return the first words of what was left out."""

    def here(text: str) -> str:
        return PLACES.sub(lambda found: f"{root}/{found[1]}", text)

    # pip's own settings hold, as in a build; to be quick, its cache is used and nothing compiled
    # (PIP_NO_COMPILE=1 would switch it on: pip takes the value for the one of "compile").
    path = f"{TOOLS}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PIP_COMPILE": "0"}
    left_out = []
    for stage in image:
        folder = root
        for keyword, text in stage.steps:
            if keyword == "WORKDIR":
                folder = Path(here(text))
                folder.mkdir(parents=True, exist_ok=True)
            elif keyword == "COPY" and not text.startswith("--from="):
                *sources, target = text.split()
                for source in sources:
                    _copy(REPOSITORY / source, folder / target, whole=target.endswith("/"))
            elif keyword == "RUN" and text.split()[0] in NOT_REPLAYED:
                left_out.append(text.split()[0])
            elif keyword == "RUN":
                done = subprocess.run(
                    ["/bin/sh", "-c", here(text).replace(" --no-cache-dir", "")],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return left_out


def _copy(source: Path, target: Path, *, whole: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return
    target.mkdir(parents=True, exist_ok=True) if whole else None
    shutil.copy(source, target)


@pytest.mark.timeout(600)
def test_the_images_steps_end_in_a_healthy_gateway(image: list[Stage], tmp_path: Path) -> None:
    """Its pip lines install a gateway that starts with its variables and passes its check.

    Only the data folder and the port are others than in a container.
    """
    root = tmp_path / "root"
    assert sorted(replay(image, root)) == sorted(NOT_REPLAYED)
    *_, final = image
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {name: PLACES.sub(rf"{root}/\1", text) for name, text in final.variables.items()}
    variables["PATH"] = variables["PATH"].replace("$PATH", os.environ["PATH"])
    variables |= {"SERVER_PORT": str(port), "EMBEDDED_MODEL": "off"}
    environment = clean_environment(**variables)
    folder = Path(PLACES.sub(rf"{root}/\1", final.only("WORKDIR")))
    programs = root / "opt/gateway/bin"

    def healthy() -> bool:
        program, *arguments = final.health_command
        return subprocess.run([programs / program, *arguments], env=environment).returncode == 0

    assert not healthy(), "something else answers there"
    program, *arguments = final.command
    process = subprocess.Popen(
        [programs / program, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    gateway = GatewayProcess(process, folder)
    try:
        assert gateway.port == port
        assert healthy(), gateway.text
        assert (folder / "admin_password").exists(), "its data is not in the volume"
        assert "http://127.0.0.1" in gateway.text
    finally:
        code = gateway.stop()
    assert code == 0
    assert not healthy()
