"""``GET /``: what this is, what is ready, what is missing, and the next command."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from chatgpt_to_api import __version__
from chatgpt_to_api.dialects.ollama.pages import RUNNING
from chatgpt_to_api.server.status import Status

NAME: Final = "ChatGPT-to-API"

_WHAT: Final = "the APIs your programs speak, for the model access you own."

_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")

_TO_OLLAMA_CLIENTS: Final = f"To clients of Ollama: {RUNNING}"

_BASES: Final = (
    ("OpenAI", "/v1"),
    ("Anthropic", ""),
    ("Gemini", ""),
    ("Ollama", ""),
    ("ChatGPT web", "/backend-api"),
)
"""What stands at the end of the base URL that clients of each API are given."""

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto;
  padding: 0 1rem; }}
pre {{ padding: .8rem 1rem; overflow-x: auto; border: 1px solid #8886; border-radius: .4rem; }}
li.ready::marker {{ content: "✓ "; }}
li.missing::marker {{ content: "✗ "; }}
</style>
{body}
</html>
"""


def authority(host: bytes | None, listening: tuple[str, int] | None) -> str:
    """Return host and port for an example command: as the client wrote them, where that is sane."""
    text = (host or b"").decode("latin-1")
    if _AUTHORITY.fullmatch(text):
        return text
    address, port = listening or ("127.0.0.1", 8080)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def example(at: str, model: str, *, keys: bool) -> str:
    """Return a command that asks the gateway something, ready to paste."""
    key = ' -H "Authorization: Bearer $KEY"' if keys else ""
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    return f"curl http://{at}/v1/chat/completions{key} -d '{body}'"


def bases(at: str) -> list[tuple[str, str]]:
    """Return the APIs that clients can speak, each with the base URL to give them."""
    return [(api, f"http://{at}{end}") for api, end in _BASES]


def plain(status: Status, command: str, at: str) -> str:
    """The page for a terminal. ``at``: host and port of the gateway, as its clients know them."""
    lines = [f"{NAME} {__version__}: {_WHAT}", ""]
    for upstream in status.upstreams:
        sign = "ready  " if upstream.ready else "missing"
        lines.append(f"{sign}  {upstream.name} ({upstream.kind}): {upstream.says}")
        if upstream.advice:
            lines.append(f"         {upstream.advice}")
    if not status.upstreams:
        lines.append("missing  No upstream is configured.")
    lines += [*status.advice, "", "Ask it:" if status.ready else "Then ask it:", f"  {command}", ""]
    lines += ["Base URLs for clients:", *(f"  {api:<12} {url}" for api, url in bases(at)), ""]
    lines += [_TO_OLLAMA_CLIENTS, ""]
    return "\n".join(lines)


def page(status: Status, command: str, at: str) -> str:
    """The page for a browser. ``at``: host and port of the gateway, as its clients know them."""
    items = [
        f'<li class="{"ready" if u.ready else "missing"}"><b>{escape(u.name)}</b> '
        f"({escape(u.kind)}): {escape(u.says)}" + (f"<br>{escape(u.advice)}" if u.advice else "")
        for u in status.upstreams
    ] or ['<li class="missing">No upstream is configured.']
    body = "\n".join(
        [
            f"<h1>{NAME} {escape(__version__)}</h1>",
            f"<p>{_WHAT[:1].upper()}{_WHAT[1:]}</p>",
            "<ul>",
            *items,
            "</ul>",
            *(f"<p>{escape(line)}</p>" for line in status.advice),
            f"<p>{'Ask it:' if status.ready else 'Then ask it:'}</p>",
            f"<pre>{escape(command)}</pre>",
            "<p>Base URLs for clients:</p>",
            "<ul>",
            *(f"<li>{api}: <code>{escape(url)}</code>" for api, url in bases(at)),
            "</ul>",
        ]
    )
    return _PAGE.format(title=NAME, body=body)


def outside_plain() -> str:
    """What a stranger in a terminal may know."""
    return f"{NAME}\n{_TO_OLLAMA_CLIENTS}\n"


def outside_page() -> str:
    """What a stranger in a browser may know."""
    return _PAGE.format(title=NAME, body=f"<h1>{NAME}</h1>")
