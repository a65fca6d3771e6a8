"""Access tokens as real ones look: JWTs with an expiry and an e-mail address."""

from __future__ import annotations

import base64
import json
from typing import Any


def jwt(expires: float, email: str = "", account: str = "") -> str:
    """Make one that expires at a Unix time; nobody checks its signature."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    own = {"https://api.openai.com/auth": {"chatgpt_account_id": account}} if account else {}
    profile = {"https://api.openai.com/profile": {"email": email}}
    return f"{part({'alg': 'RS256'})}.{part({'exp': int(expires), **profile, **own})}.c2lnbmF0dXJl"
