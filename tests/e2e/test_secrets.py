"""Secrets planted everywhere, and looked for in everything the gateway says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support.gateway_process import Answer, gateway_process, run_command
from support.proxies import HttpProxy
from support.scripted_backend import Play, Seen, scripted_backend

PLANTED = {
    "access token": "zq1-planted-access-token-0001",
    "jwt": "eyJwbGFudGVkand0.eyJleHAiOjk5OTk5OTk5OTl9.cGxhbnRlZHNpZw",
    "puid": "user-zq2planted-puid",
    "default puid": "user-zq3planted-puid",
    "client key": "zq4plantedclientkey",
    "admin password": "zq5 planted password",
    "secret key": "zq6plantedsecretkey-that-is-long-enough",
    "vendor key": "zq7plantedvendorkey",
    "proxy password": "zq8plantedproxypass",
    "upstream header": "zq9plantedheadervalue",
    "official key": "zq0plantedofficialkey",
    "set password": "zqa planted new password",
    "caller token": "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.enFicGxhbnRlZA",
}


def echo(seen: Seen) -> str:
    """Everything the request held, as an indiscreet server repeats it."""
    return " | ".join(f"{name}={value}" for name, value in seen.headers.items())


def indiscreet(seen: Seen) -> Play:
    """A backend that fails in the way the question asks for, and repeats all it was sent."""
    said = echo(seen)
    if seen.method == "GET":
        return Play(status=500, pieces=[said.encode()], content_type="text/plain")
    text = seen.body.decode()
    status = int(next((word for word in text.split() if word.isdigit()), "500"))
    if "html" in text:
        page = f"<html><title>{said}</title>{said}</html>".encode()
        return Play(status=status, pieces=[page], content_type="text/html")
    if "event" in text:
        failed = json.dumps({"message": None, "error": said, "conversation_id": None})
        return Play(pieces=[f"data: {failed}\n\n".encode()])
    if "chunk" in text:
        failed = json.dumps({"error": {"message": said, "type": said, "code": said}})
        return Play(pieces=[f"data: {failed}\n\n".encode()])
    body = json.dumps({"detail": said, "error": {"message": said, "code": said, "param": said}})
    if "object" in text:
        body = json.dumps({"detail": {"message": said, "code": said, "type": said}})
    return Play(status=status, pieces=[body.encode()], content_type="application/json")


QUESTIONS = [
    *(
        f"please {status} {shape} ."
        for status in (400, 401, 402, 403, 404, 429, 500, 503)
        for shape in ("detail", "object", "html")
    ),
    "please event .",
    "please chunk .",
]


def check(what: str, text: str) -> None:
    """Fail where ``text`` holds a planted secret, or enough of one to use or guess it."""
    for name, secret in PLANTED.items():
        assert secret not in text, f"{what} shows the {name}"
        if "eyJ" in secret:
            assert secret.split(".")[2] not in text, f"{what} shows the signature of the {name}"


@pytest.mark.parametrize(
    ("log_format", "attempts", "questions"),
    [("text", "1", QUESTIONS), ("json", "2", QUESTIONS[::5])],
    ids=["text", "json"],
)
async def test_planted_secrets_show_nowhere(
    tmp_path: Path, log_format: str, attempts: str, questions: list[str]
) -> None:
    """Answers, errors, logs at -v, start-up, the first page, the admin API and the commands."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "api_keys.txt").write_text(PLANTED["client key"] + "\n")
    tokens = [PLANTED["access token"], {"token": PLANTED["jwt"], "puid": PLANTED["puid"]}]
    (data / "access_tokens.json").write_text(json.dumps(tokens))
    async with (
        scripted_backend(indiscreet) as backend,
        HttpProxy(credentials=f"me:{PLANTED['proxy password']}") as proxy,
    ):
        (data / "proxies.txt").write_text(
            f"127.0.0.1:{proxy.port}:me:{PLANTED['proxy password']}\n"
            f"http://me:{PLANTED['proxy password']}@127.0.0.1:9\n"
        )
        (data / "config.toml").write_text(
            f'''
[upstreams.conversation]
base_url = "http://backend.test:{backend.port}/backend-api/conversation"
headers = {{ "x-planted" = "{PLANTED["upstream header"]}" }}
[upstreams.vendor]
kind = "openai"
base_url = "{backend.url("/v1")}"
api_keys = ["{PLANTED["vendor key"]}"]
models = ["vendor-*"]
'''
        )
        environment = {
            "ADMIN_PASSWORD": PLANTED["admin password"],
            "SECRET_KEY": PLANTED["secret key"],
            "PUID": PLANTED["default puid"],
            "ALLOW_CALLER_TOKENS": "true",
            "CHATGPT_TO_API_QUEUE_WAIT": "0.2",
            "CHATGPT_TO_API_MAX_ATTEMPTS": attempts,
            "https_proxy": f"http://me:{PLANTED['proxy password']}@127.0.0.1:9",
        }
        answers: list[Answer] = []
        with gateway_process(data, "-v", "--log-format", log_format, **environment) as gateway:

            def talk() -> None:
                admin = {"Authorization": PLANTED["admin password"]}

                def reset() -> None:
                    for name in ("conversation", "vendor"):
                        path = f"/admin/tokens/reset?upstream={name}"
                        assert gateway.fetch(path, method="POST", headers=admin).status == 200

                for question in questions:
                    for model in ("gpt-4", "vendor-1"):
                        reset()
                        for stream in (False, True):
                            headers = {"Authorization": f"Bearer {PLANTED['client key']}"}
                            answers.append(
                                gateway.ask(question, model, stream=stream, headers=headers)
                            )
                        for name in ("conversation", "vendor"):
                            path = f"/admin/tokens?upstream={name}"
                            answers.append(gateway.fetch(path, headers=admin))
                own = {"Authorization": f"Bearer {PLANTED['caller token']}"}
                for question in questions:
                    reset()
                    answers.append(gateway.ask(question, headers=own))
                    answers.append(
                        gateway.fetch(
                            "/backend-api/conversation",
                            method="POST",
                            headers=own,
                            body=json.dumps(
                                {
                                    "model": "gpt-4",
                                    "messages": [{"role": "user", "content": question}],
                                }
                            ),
                        )
                    )
                key = {"Authorization": f"Bearer {PLANTED['official key']}"}
                for path in ("/", "/v1/models", "/readyz", "/admin/tokens", "/nothing"):
                    for headers in ({}, own, admin, key):
                        answers.append(gateway.fetch(path, headers=headers))
                answers.append(gateway.fetch("/admin/status", headers=admin))
                for path, body in (
                    ("/admin/puid", {"puid": PLANTED["puid"] + " \n"}),
                    ("/admin/password", {"password": PLANTED["set password"]}),
                    ("/admin/tokens", [PLANTED["access token"], PLANTED["jwt"] + "\n x", 5]),
                    ("/admin/openai", {"official_api_key": PLANTED["official key"] + "\r\n x"}),
                ):
                    answers.append(
                        gateway.fetch(path, method="PATCH", headers=admin, body=json.dumps(body))
                    )
                    admin = {"Authorization": PLANTED["set password"]} if "pass" in path else admin

            await asyncio.to_thread(talk)
            assert len(backend.seen) > 2 * len(questions)
            for command in (("tokens", "list"), ("config", "show"), ("doctor",)):
                done = await asyncio.to_thread(run_command, *command, data_dir=data, **environment)
                assert done.returncode != 2, done.stderr
                check(" ".join(command), done.stdout + done.stderr)
            await asyncio.to_thread(gateway.stop)
        for answer in answers:
            check("an answer", answer.text + str(answer.headers))
        check("the log", gateway.text)
        assert "upstream fault" in gateway.text
