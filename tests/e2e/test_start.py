"""What a start costs: it imports the dialects that are configured, and looks for no garbage."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from support.gateway_process import GatewayProcess, gateway_process, wait_until

FACES: Final = re.compile(
    r"\| +chatgpt_to_api\.dialects\.(\w+\.(?:count_|embed_)?(?:door|upstream|scanner)\w*)$",
    re.MULTILINE,
)
"""A dialect's client side and its backend side, in Python's own account of imports."""

DOORS: Final = {
    "/v1/completions": "openai_completions.door",
    "/v1/embeddings": "openai_embeddings.door",
    "/v1/responses": "openai_responses.door",
    "/v1/messages": "anthropic.door",
    "/v1/messages/count_tokens": "anthropic.count_door",
    "/v1beta/models/m:generateContent": "gemini.door",
    "/v1/models/m:countTokens": "gemini.count_door",
    "/api/chat": "ollama.door",
    "/api/embed": "ollama.embed_door",
}


def faces(gateway: GatewayProcess) -> set[str]:
    return set(FACES.findall(gateway.text))


def test_other_dialects_are_imported_by_the_first_requests_in_them(tmp_path: Path) -> None:
    """Several at once at each door; every one is answered in the dialect's own words."""
    proxy = "http://127.0.0.1:1/conversation"
    with gateway_process(
        tmp_path / "data", API_REVERSE_PROXY=proxy, PYTHONPROFILEIMPORTTIME="1"
    ) as gateway:
        assert gateway.fetch("/ping").status == 200
        at_start = faces(gateway)
        assert {name.partition(".")[0] for name in at_start} == {
            "conversation",
            "openai_any",
            "openai_chat",
        }
        assert "openai_chat.upstream" not in at_start
        with ThreadPoolExecutor(2 * len(DOORS)) as clients:
            answers = list(
                clients.map(
                    lambda path: (path, gateway.fetch(path, method="POST", body="{")),
                    [*DOORS, *DOORS],
                )
            )
        for path, answer in answers:
            assert answer.status == 400, (path, answer.text)
            assert "error" in answer.json
        assert ("/v1/messages", "invalid_request_error") in [
            (path, answer.json["error"].get("type")) for path, answer in answers if "v1/" in path
        ]
        assert gateway.fetch("/v1/responses/resp_1").status == 404
    assert set(DOORS.values()) <= faces(gateway)
    assert not {name for name in faces(gateway) - at_start if "upstream" in name} - {
        "gemini.upstream_request"  # its door shares the names of what generation is told
    }


def test_garbage_is_looked_for_once_the_gateway_runs_and_not_before(tmp_path: Path) -> None:
    """A start makes next to none, and what it makes stays."""
    (tmp_path / "sitecustomize.py").write_text(
        "import gc\n"
        "gc.callbacks.append(lambda phase, about: print('collecting', phase, flush=True))\n"
    )
    with gateway_process(tmp_path / "data", "--help", PYTHONPATH=str(tmp_path)) as help_text:
        assert help_text.process.wait(30) == 0
    with gateway_process(tmp_path / "data", PYTHONPATH=str(tmp_path)) as gateway:
        assert gateway.fetch("/ping").status == 200
        at_start = gateway.text.count("collecting start")
        wait_until(lambda: gateway.fetch("/v1/models").status and "collecting stop" in gateway.text)
    assert at_start <= help_text.text.count("collecting start")
