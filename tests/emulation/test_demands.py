"""What a reply has to be: JSON found, mended, checked; complaints that say where and why."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.request import JsonFormat
from chatgpt_to_api.emulation.demands import CallDemanded, Complaint, JsonDemanded
from chatgpt_to_api.errors import InvalidRequest

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
    "required": ["items"],
    "$defs": {"item": {"type": "object", "properties": {"price": {"type": "number"}}}},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (' \n{"a": 1}\n ', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('Sure!\n```\n{"a": 1}\n```\nAnything else?', '{"a": 1}'),
        ('It is {"a": {"b": "}"}} as asked.', '{"a": {"b": "}"}}'),
        ('Use [brackets like {this}: {"a": 1}', '{"a": 1}'),
        ('{"a": 1,}', '{"a": 1}'),
        ("{'a': True}", '{"a": true}'),
        ('{"a": [1', '{"a": [1]}'),
    ],
)
def test_the_json_in_a_text_is_found(text: str, found: str) -> None:
    """As it was written, where it was JSON at all."""
    assert JsonDemanded(JsonFormat()).judge(text) == found


def test_blanks_without_end_are_read_in_linear_time() -> None:
    """What small models fall into, behind a fence that they never close."""
    before = time.process_time()
    found = JsonDemanded(JsonFormat()).judge('```json\n{"a": 1,' + " " * 200_000 + "x: 2")
    assert time.process_time() - before < 2
    assert isinstance(found, str)
    assert json.loads(found) == {"a": 1, "x": 2}


@pytest.mark.parametrize("text", ["", "no", "[1]", "7", "{nonsense", '"text"'])
def test_an_object_is_an_object(text: str) -> None:
    """Anything else is complained of, at the top; what can be mended into one is one."""
    verdict = JsonDemanded(JsonFormat()).judge(text)
    if text.startswith("{"):
        assert isinstance(verdict, str)
    else:
        assert isinstance(verdict, Complaint)
        assert "$" in verdict.error.message
        assert (verdict.error.status, verdict.error.code) == (502, "json_validation_failed")


def test_a_complaint_names_the_place() -> None:
    """To the model and to the client."""
    demand = JsonDemanded(JsonFormat(SCHEMA, "order"))
    assert demand.judge('{"items": [{"price": 1}]}') == '{"items": [{"price": 1}]}'
    verdict = demand.judge('{"items": [{"price": 1}, {"price": "2"}]}')
    assert isinstance(verdict, Complaint)
    assert "$.items[1].price" in verdict.told
    assert "$.items[1].price" in verdict.error.message


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "objekt"}, ".type"),
        ({"properties": {"a": {"minLength": -1}}}, ".properties.a.minLength"),
        ({"$ref": "#/nowhere"}, ""),
        ({"pattern": "("}, ".pattern"),
    ],
)
def test_what_is_no_schema_is_refused_by_its_place(schema: dict[str, Any], where: str) -> None:
    """It is the client's mistake, and told before anybody is asked."""
    with pytest.raises(InvalidRequest) as refused:
        JsonDemanded(JsonFormat(schema, "x"))
    assert refused.value.param == "response_format.json_schema.schema"
    assert f"'response_format.json_schema.schema{where}'" in refused.value.message


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:9/s.json", "file:///etc/hostname"])
def test_a_schema_never_makes_the_gateway_fetch(scheme: str) -> None:
    """References lead inside it; another is refused without a look."""
    with pytest.raises(InvalidRequest, match="json_schema"):
        JsonDemanded(JsonFormat({"$ref": scheme}, "x"))


def test_a_pattern_cannot_keep_the_gateway_busy() -> None:
    """Nested repetition gives up; the answer then does not fit."""
    demand = JsonDemanded(JsonFormat({"type": "string", "pattern": r"^(a+)+(?=b)c$"}, "x"))
    assert isinstance(demand.judge(json.dumps("a" * 5000)), Complaint)


def test_a_call_is_demanded() -> None:
    """No text will do."""
    verdict = CallDemanded("tool_choice").judge("It is sunny.")
    assert verdict.error.code == "tool_call_missing"


@given(st.text() | st.text(alphabet='{}[]",:`\n a1'))
def test_any_text_is_judged(text: str) -> None:
    """Never an exception; what passes is an object."""
    verdict = JsonDemanded(JsonFormat()).judge(text)
    assert isinstance(verdict, Complaint) or isinstance(json.loads(verdict), dict)


OBJECTS = st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans()))


@given(OBJECTS, st.sampled_from(["{}", "```json\n{}\n```", "Here:\n\n```\n{}\n```\nBye."]))
def test_json_comes_back_byte_for_byte(value: dict[str, Any], around: str) -> None:
    """Whatever words and fences are around it."""
    text = json.dumps(value)
    assert JsonDemanded(JsonFormat()).judge(around.replace("{}", text)) == text
