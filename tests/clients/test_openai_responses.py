"""The official openai package's ``responses`` and ``conversations`` against the gateway.

The vendor behind it knows chat completions alone, so all of Responses is the gateway's own work.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from support.client_environments import run_client
from support.pages import blocks
from support.vendor.serving import CLIENT_KEY, Served

WEATHER: Final[Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="


class City(BaseModel):
    """What a parsed answer is read into."""

    city: str


@pytest.fixture
def sdk(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=served.base_url, api_key=CLIENT_KEY, max_retries=0) as client:
        yield client


def asked(served: Served) -> Any:
    """The body that the vendor was asked with last."""
    return served.vendor.seen[-1].json


def test_a_response_is_what_the_package_says_it_is(sdk: OpenAI, served: Served) -> None:
    """Whole: text, ids, usage in full, and what was asked repeated."""
    response = sdk.responses.create(
        model="gpt-4o",
        input="Say 潮😀",
        instructions="Be brief.",
        metadata={"topic": "tides"},
        temperature=0.5,
        max_output_tokens=100,
    )
    assert response.output_text == "You said: Say 潮😀"
    assert response.status == "completed"
    assert response.instructions == "Be brief."
    assert response.metadata == {"topic": "tides"}
    assert (response.temperature, response.max_output_tokens) == (0.5, 100)
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.input_tokens_details.cached_tokens == 6
    assert response.usage.output_tokens_details.reasoning_tokens == 0
    assert Response.model_validate(response.to_dict()) == response
    assert [m["role"] for m in asked(served)["messages"]] == ["system", "user"]
    assert asked(served)["max_tokens"] == 100


def test_a_stream_has_every_event_in_its_order(sdk: OpenAI) -> None:
    """Trap 47: the whole sequence, numbered from 0 without a gap; trap 9: one beginning."""
    with sdk.responses.create(model="gpt-4o", input="one two three", stream=True) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    deltas = [kind for kind in kinds if kind == "response.output_text.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert deltas
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = [e for e in events if e.type == "response.output_text.delta"]
    assert {(e.output_index, e.content_index) for e in said} == {(0, 0)}
    assert len({e.item_id for e in said}) == 1
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "".join(e.delta for e in said) == "You said: one two three"
    assert last.response.usage is not None


def test_the_packages_own_accumulator_follows_a_stream(sdk: OpenAI) -> None:
    """``responses.stream`` with parsed output, and its final response."""
    with sdk.responses.stream(model="gpt-4o", input="Where? 'Vaduz'", text_format=City) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.output_text.delta" in kinds
    assert final.output_parsed == City(city="Vaduz")


def test_parse_reads_an_answer_into_a_type(sdk: OpenAI, served: Served) -> None:
    """``text.format`` reaches the vendor as its own form of a schema."""
    parsed = sdk.responses.parse(model="gpt-4o", input="Where? 'Vaduz'", text_format=City)
    assert parsed.output_parsed == City(city="Vaduz")
    form = asked(served)["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True


def run_tools(sdk: OpenAI, first: Response, **more: Any) -> Response:
    """Answer every call of a response."""
    outputs: list[Any] = [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": f"{json.loads(item.arguments)['city']}: fair",
        }
        for item in first.output
        if item.type == "function_call"
    ]
    assert outputs
    return sdk.responses.create(model="gpt-4o", tools=[WEATHER], **more | {"input": outputs})


def test_a_tool_loop_by_previous_response_id(sdk: OpenAI, served: Served) -> None:
    """Trap 49: outputs name ``call_id``, which is not the item's id; parallel calls too."""
    first = sdk.responses.create(
        model="gpt-4o", input="How is it in 'Oslo' and 'Rome'?", tools=[WEATHER]
    )
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Oslo", "Rome"]
    assert all(call.id and call.id.startswith("fc_") and call.id != call.call_id for call in calls)
    second = run_tools(sdk, first, previous_response_id=first.id)
    assert second.output_text == "I was told: Oslo: fair; Rome: fair"
    assert second.previous_response_id == first.id
    roles = [message["role"] for message in asked(served)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]


def test_a_tool_loop_without_anything_kept(sdk: OpenAI) -> None:
    """``store: false``: the client sends every item back itself."""
    question: list[Any] = [{"role": "user", "content": "How is it in 'Oslo'?"}]
    first = sdk.responses.create(model="gpt-4o", input=question, tools=[WEATHER], store=False)
    history = [*question, *[item.to_dict() for item in first.output]]
    call = first.output[-1]
    assert call.type == "function_call"
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Oslo: fair"}
    second = sdk.responses.create(
        model="gpt-4o",
        input=[*history, output],  # type: ignore[list-item]
        tools=[WEATHER],
        store=False,
    )
    assert second.output_text == "I was told: Oslo: fair"
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(first.id)


def test_a_streamed_call_comes_in_pieces_and_whole(sdk: OpenAI) -> None:
    """Trap 48: the final arguments are what the deltas said."""
    with sdk.responses.create(
        model="gpt-4o", input="How is it in 'Oslo'?", tools=[WEATHER], stream=True
    ) as stream:
        events = list(stream)
    pieces = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    [done] = [e for e in events if e.type == "response.function_call_arguments.done"]
    [item] = [e.item for e in events if e.type == "response.output_item.done"]
    assert item.type == "function_call"
    assert pieces == done.arguments == item.arguments == '{"city": "Oslo"}'


def test_pictures_and_files_reach_the_model(sdk: OpenAI, served: Served) -> None:
    """Parts of every kind become the vendor's own."""
    response = sdk.responses.create(
        model="gpt-4o",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                    {
                        "type": "input_file",
                        "filename": "a.txt",
                        "file_data": "data:text/plain;base64,aGk=",
                    },
                ],
            }
        ],
    )
    assert (
        response.output_text == "You said: What is it? [image/png, 8 bytes] [text/plain, 2 bytes]"
    )
    kinds = [part["type"] for part in asked(served)["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "file"]


def test_thoughts_are_a_reasoning_item(sdk: OpenAI, served: Served) -> None:
    """``reasoning.effort`` goes on; what the vendor shows of its thinking is a summary."""
    response = sdk.responses.create(model="o4-mini", input="Why?", reasoning={"effort": "high"})
    thought, message = response.output
    assert thought.type == "reasoning"
    assert thought.summary[0].text == "The question has 1 words."
    assert message.type == "message"
    assert response.output_text == "You said: Why?"
    assert asked(served)["reasoning_effort"] == "high"


def test_a_refusal_is_a_part_of_its_own(sdk: OpenAI) -> None:
    """The model's refusal is told as one, streamed too."""
    response = sdk.responses.create(model="gpt-4o", input="Please refuse this.")
    [message] = response.output
    assert message.type == "message"
    [part] = message.content
    assert part.type == "refusal"
    assert part.refusal.startswith("I'm sorry")
    with sdk.responses.create(model="gpt-4o", input="Please refuse this.", stream=True) as stream:
        kinds = [event.type for event in stream]
    assert "response.refusal.delta" in kinds
    assert kinds[-1] == "response.completed"


def test_an_answer_cut_at_its_length_is_incomplete(sdk: OpenAI) -> None:
    """Trap 54: ``incomplete`` with the reason, whole and streamed."""
    response = sdk.responses.create(model="gpt-4o", input="one two three", max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    with sdk.responses.create(
        model="gpt-4o", input="one two three", max_output_tokens=3, stream=True
    ) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"


def test_a_stream_that_breaks_ends_as_failed(sdk: OpenAI) -> None:
    """Traps 3, 4 and 54: a cut upstream is ``response.failed``, and nothing follows it."""
    with sdk.responses.create(model="gpt-4o", input="cut the stream", stream=True) as stream:
        events = list(stream)
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(last.response.id)


def test_errors_are_the_packages_own(sdk: OpenAI) -> None:
    """Unknown models, bad fields, limits, an unknown response: each its exception."""
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.responses.create(model="gpt-nought", input="Hello")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.responses.create(model="gpt-4o", input=[{"role": "user", "content": [{"type": "x"}]}])  # type: ignore[list-item,dict-item,typeddict-item]
    assert bad.value.param == "input[0].content[0].type"
    with pytest.raises(openai.BadRequestError) as background:
        sdk.responses.create(model="gpt-4o", input="Hello", background=True)
    assert background.value.param == "background"
    with pytest.raises(openai.BadRequestError) as previous:
        sdk.responses.create(model="gpt-4o", input="Hello", previous_response_id="resp_1")
    assert previous.value.code == "previous_response_not_found"
    with pytest.raises(openai.RateLimitError) as limited:
        sdk.responses.create(model="gpt-4o", input="answer with status 429")
    assert int(limited.value.response.headers["retry-after"]) >= 1


def test_a_kept_response_is_shown_listed_and_deleted(sdk: OpenAI) -> None:
    """Retrieve, input items with earlier turns, cancel, delete."""
    first = sdk.responses.create(model="gpt-4o", input="Hello")
    second = sdk.responses.create(model="gpt-4o", input="Again", previous_response_id=first.id)
    assert sdk.responses.retrieve(second.id) == second
    listed = sdk.responses.input_items.list(second.id, order="asc")
    texts = [item.content[0].text for item in listed if item.type == "message"]  # type: ignore[union-attr]
    assert texts == ["Hello", "You said: Hello", "Again"]
    page = sdk.responses.input_items.list(second.id, limit=1)
    assert page.has_more
    assert len(list(page)) == 3  # the package turns the pages by itself
    with pytest.raises(openai.BadRequestError):
        sdk.responses.cancel(second.id)
    sdk.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(second.id)
    assert sdk.responses.retrieve(first.id) == first


def test_items_are_referred_to_by_their_ids(sdk: OpenAI, served: Served) -> None:
    """``item_reference``, also without a type, in place of the item."""
    first = sdk.responses.create(model="gpt-4o", input="Hello")
    answer = first.output[0]
    assert answer.type == "message"
    references: list[Any] = [
        {"role": "user", "content": "Hello"},
        {"type": "item_reference", "id": answer.id},
        {"role": "user", "content": "Again"},
    ]
    sdk.responses.create(model="gpt-4o", input=references)
    said = [(m["role"], m["content"]) for m in asked(served)["messages"]]
    assert said == [("user", "Hello"), ("assistant", "You said: Hello"), ("user", "Again")]
    references[1] = {"id": "msg_nowhere"}
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.responses.create(model="gpt-4o", input=references)
    assert unknown.value.param == "input[1]"


def test_a_conversation_is_made_grown_and_ended(sdk: OpenAI, served: Served) -> None:
    """Create, respond in it, list, add and delete items, note, delete."""
    conversation = sdk.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My name is Ada."}],
        metadata={"topic": "names"},
    )
    assert conversation.metadata == {"topic": "names"}
    response = sdk.responses.create(model="gpt-4o", input="Hello", conversation=conversation.id)
    assert response.conversation is not None
    assert response.conversation.id == conversation.id
    assert [m["content"] for m in asked(served)["messages"]] == ["My name is Ada.", "Hello"]
    items = list(sdk.conversations.items.list(conversation.id, order="asc"))
    assert [item.type for item in items] == ["message"] * 3
    added = sdk.conversations.items.create(
        conversation.id, items=[{"type": "message", "role": "user", "content": "More"}]
    )
    [item] = added.data
    assert item.type == "message"
    assert sdk.conversations.items.retrieve(item.id, conversation_id=conversation.id) == item
    sdk.conversations.items.delete(item.id, conversation_id=conversation.id)
    with pytest.raises(openai.NotFoundError):
        sdk.conversations.items.retrieve(item.id, conversation_id=conversation.id)
    noted = sdk.conversations.update(conversation.id, metadata={"topic": "people"})
    assert sdk.conversations.retrieve(conversation.id) == noted
    assert sdk.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.responses.create(model="gpt-4o", input="Hello", conversation=conversation.id)


@pytest.mark.parametrize("page", ["docs/responses.md", "docs/responses_CN.md"])
def test_what_the_page_says_to_paste_works(served: Served, tmp_path: Path, page: str) -> None:
    """The second turn is asked with the first before it."""
    [block] = blocks(page, "python")
    ours = block.replace("http://127.0.0.1:8080/v1", served.base_url)
    ours = ours.replace('"anything"', f'"{CLIENT_KEY}"')
    done = run_client(tmp_path / "home", sys.executable, "-c", ours)
    assert done.stdout.strip() == "You said: And Rome?", done.stderr
    assert [m["role"] for m in asked(served)["messages"]] == ["user", "assistant", "user"]
