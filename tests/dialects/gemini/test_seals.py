"""Seals of other vendors in the place of a signature, and what a server of Google's is shown."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.dialects.gemini.seals import from_client, to_client, without_others


@given(st.sampled_from(["anthropic", "openai_responses"]), st.text(), st.text())
def test_what_another_vendor_sealed_comes_back(dialect: str, data: str, text: str) -> None:
    """As base64, in whichever form a client encodes it again."""
    carried = to_client(Opaque(dialect, data), text)
    again = base64.urlsafe_b64encode(base64.b64decode(carried)).decode()
    for shown in (carried, again, again.rstrip("=")):
        assert from_client(shown) == (Opaque(dialect, data), text)


@pytest.mark.parametrize(
    "signature", ["c2lnbmVk", "", "Z2F0ZXdheS1zZWFsZWQ6", "Z2F0ZXdheS1zZWFsZWQ6ew=="]
)
def test_any_other_signature_is_the_vendors_own(signature: str) -> None:
    """Byte for byte, also one that only begins as ours do."""
    assert from_client(signature) == (Opaque("gemini", signature), "")
    assert to_client(Opaque("gemini", signature)) == signature


def test_a_server_of_the_dialect_is_shown_its_own_signatures_alone() -> None:
    """A thought that others sealed goes, a call of theirs keeps its arguments."""
    other, own = to_client(Opaque("anthropic", "s"), "Hm."), "c2lnbmVk"
    call = {"functionCall": {"name": "f", "args": {}}}
    parts = [
        {"text": "Hm.", "thought": True, "thoughtSignature": other},
        {**call, "thought_signature": other},
        {**call, "thoughtSignature": own},
        {"text": other},
    ]
    body = {"contents": [{"role": "model", "parts": parts}, {"parts": [{"text": "x"}]}], "a": 1.50}
    shown = json.loads(without_others(json.dumps(body).encode()))
    assert shown["contents"][0]["parts"] == [call, *parts[2:]]
    assert shown["contents"][1:] == body["contents"][1:]
    assert without_others(b'{"contents" : []}') == b'{"contents" : []}'


@pytest.mark.parametrize(
    "turns",
    ["{}", [None], ["{}"], {"parts": []}, [{"parts": {"text": "{}"}}], [{"parts": ["{}"]}], "x"],
)
def test_turns_of_another_form_are_left_to_the_server(turns: object) -> None:
    """It answers with what is wrong; the seal may stand anywhere."""
    sealed = to_client(Opaque("anthropic", "s"), "Hm.")
    body = json.dumps({"contents": turns, "other": sealed}).replace("{}", sealed).encode()
    assert without_others(body) == body
