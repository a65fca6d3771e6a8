"""Gemini's dialect at the door and behind it: over its own servers, and across dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import Answer, gateway_process
from support.gemini.server import KEY
from support.gemini.serving import CLIENT_KEY, Served, configuration, serving
from support.scripted_backend import Seen
from support.shared_rig import events_of, text_of

WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "format": "city"}},
        "required": ["city"],
        "additionalProperties": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
}
TOOL = {"type": "function", "function": WEATHER}
DECLARED = {
    "functionDeclarations": [
        {
            "name": "get_weather",
            "description": "Tell the weather.",
            "parameters": {
                "type": "OBJECT",
                "properties": {"city": {"type": "STRING"}},
                "required": ["city"],
            },
        }
    ]
}


SERVED = {"generateContent", "countTokens", "embedContent", "batchEmbedContents"}


class Standing:
    """The servers, and ways to ask."""

    def __init__(self, served: Served) -> None:
        self.gateway = served.gateway
        self.google = served.google
        self.vendor = served.vendor
        self.forget = served.forget

    def ask(
        self, model: str, *contents: Any, method: str = "generateContent", **more: Any
    ) -> Answer:
        """Ask at the door; a text stands for a turn of the user."""
        turns = [user(turn) if isinstance(turn, str) else turn for turn in contents]
        query = more.pop("query", "alt=sse" if method.startswith("stream") else "")
        headers = more.pop("headers", {"x-goog-api-key": CLIENT_KEY})
        path = more.pop("path", "/v1beta/models")
        return self.gateway.fetch(
            f"{path}/{model}:{method}" + (f"?{query}" if query else ""),
            method="POST",
            body=json.dumps({"contents": turns, **more}),
            headers=headers,
        )

    def post(self, model: str, method: str, body: Any) -> Answer:
        """Ask any method at the door."""
        headers = {"x-goog-api-key": CLIENT_KEY}
        path = f"/v1beta/models/{model}:{method}"
        return self.gateway.fetch(path, method="POST", body=json.dumps(body), headers=headers)

    def chat(self, content: str, model: str = "gemini-2.5-flash", **more: Any) -> Answer:
        """Ask at the chat completions door."""
        headers = {"authorization": f"Bearer {CLIENT_KEY}"}
        return self.gateway.ask(content, model=model, headers=headers, **more)

    @property
    def asked(self) -> Seen:
        """What Google was asked last."""
        return next(seen for seen in reversed(self.google.seen) if seen.method == "POST")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": text}]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with serving(tmp_path_factory.mktemp("gemini") / "data") as served:
        yield Standing(served)


@pytest.fixture
def standing(running: Standing) -> Standing:
    running.forget()
    return running


def parts_of(answer: Answer) -> list[dict[str, Any]]:
    """The parts of a whole reply's first candidate."""
    assert answer.status == 200, answer.text
    parts: list[dict[str, Any]] = answer.json["candidates"][0]["content"]["parts"]
    return parts


def said(chunks: list[Any]) -> str:
    """The text of a stream's chunks."""
    return "".join(
        part.get("text", "")
        for chunk in chunks
        for candidate in chunk.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
    )


# -- the door over its own dialect -----------------------------------------------------------


def test_its_own_server_gets_the_clients_bytes(standing: Standing) -> None:
    """The relay lane: spelling, blanks and order stay, only path and key are ours."""
    body = '{"contents": [{"parts": [{"text":"Hi"}]}],  "safety_settings":[], "tools":[]}'
    answer = standing.gateway.fetch(
        "/v1beta/models/nick:generateContent",
        method="POST",
        body=body,
        headers={"x-goog-api-key": CLIENT_KEY},
    )
    assert said([answer.json]) == "You said: Hi"
    assert standing.asked.body.decode() == body
    assert standing.asked.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert standing.asked.headers["x-goog-api-key"] == KEY
    assert "authorization" not in standing.asked.headers


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1/models"])
def test_a_whole_answer_goes_through(standing: Standing, path: str) -> None:
    """At both paths, byte for byte."""
    answer = standing.ask("gemini-2.5-flash", "Hello", path=path)
    assert said([answer.json]) == "You said: Hello"
    assert answer.json["usageMetadata"]["cachedContentTokenCount"] == 100
    assert answer.headers["x-upstream"] == "google"


def test_a_stream_of_events_goes_through(standing: Standing) -> None:
    """Trap 59: ``alt=sse``."""
    answer = standing.ask("gemini-2.5-flash", "Say 潮😀", method="streamGenerateContent")
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = events_of(answer)
    assert said(chunks) == "You said: Say 潮😀"
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert standing.asked.path.endswith(":streamGenerateContent?alt=sse")


def test_a_stream_without_events_is_a_json_array(standing: Standing) -> None:
    """Trap 59: without ``alt=sse``."""
    answer = standing.ask("gemini-2.5-flash", "Hello", method="streamGenerateContent", query="")
    assert answer.headers["content-type"].startswith("application/json")
    assert said(answer.json) == "You said: Hello"
    assert standing.asked.path.endswith(":streamGenerateContent")


@pytest.mark.parametrize("query", ["alt=sse", ""])
@pytest.mark.parametrize("prompt", ["cut the stream", "end too early"])
def test_a_cut_stream_ends_with_an_error(standing: Standing, prompt: str, query: str) -> None:
    """Traps 3 and 4: what was said, then an error in the dialect's shape, then nothing."""
    answer = standing.ask("gemini-2.5-flash", prompt, method="streamGenerateContent", query=query)
    *chunks, last = events_of(answer) if query else answer.json
    assert said(chunks)
    assert last["error"]["status"] == "UNAVAILABLE"
    assert last["error"]["details"][0]["reason"] == "UPSTREAM_TRUNCATED"


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_an_error_in_the_stream_is_its_end(standing: Standing, query: str) -> None:
    """Trap 4: nothing follows it."""
    answer = standing.ask(
        "gemini-2.5-flash", "fail midway", method="streamGenerateContent", query=query
    )
    if answer.status != 200:  # text and error came in one read: nothing of it had left
        assert "The model is overloaded." in answer.text
        assert len(standing.google.seen) == 3  # so it was tried again, as often as one may
        return
    *chunks, last = events_of(answer) if query else answer.json
    assert said(chunks)
    assert last["error"]["code"] == 503


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
def test_an_empty_good_end_is_no_success(standing: Standing, method: str) -> None:
    """Trap 58: it is tried again, and then an error."""
    answer = standing.ask("gemini-2.5-flash", "be empty", method=method)
    assert answer.status == 502
    assert len(standing.google.seen) == 3


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
def test_the_vendors_own_reason_goes_through(standing: Standing, method: str) -> None:
    """Why there is no answer is an answer, to clients that know the reasons."""
    answer = standing.ask("gemini-2.5-flash", "be malformed", method=method)
    last = answer.json if method == "generateContent" else events_of(answer)[-1]
    assert last["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"


# -- keys --------------------------------------------------------------------------------------


def test_a_key_in_the_query_is_taken_and_goes_no_further(standing: Standing) -> None:
    """Trap 59: neither the upstream nor any log sees it."""
    answer = standing.ask("gemini-2.5-flash", "Hi", query=f"key={CLIENT_KEY}", headers={})
    assert said([answer.json]) == "You said: Hi"
    refused = standing.ask("gemini-2.5-flash", "Hi", query="key=planted-wrong-key", headers={})
    assert refused.status == 401
    assert refused.json["error"]["status"] == "UNAUTHENTICATED"
    assert all("key=" not in seen.path for seen in standing.google.seen)
    assert all(CLIENT_KEY not in str(seen.headers) for seen in standing.google.seen)
    printed = "".join(standing.gateway.output)
    assert "planted" not in printed


def test_without_a_key_nobody_is_asked(standing: Standing) -> None:
    """The error has the dialect's shape."""
    answer = standing.ask("gemini-2.5-flash", "Hi", headers={})
    assert answer.status == 401
    assert answer.json["error"]["code"] == 401
    assert not standing.google.seen


# -- the door over an OpenAI-compatible server ---------------------------------------------------


def test_a_client_of_gemini_over_chat_completions(standing: Standing) -> None:
    """Instructions, a whole answer, usage."""
    answer = standing.ask("gpt-4o", "Hello", systemInstruction={"parts": [{"text": "Be kind."}]})
    assert said([answer.json]) == "You said: Hello"
    assert answer.json["candidates"][0]["finishReason"] == "STOP"
    assert answer.json["usageMetadata"]["promptTokenCount"] > 0
    assert standing.vendor.seen[-1].json["messages"][0] == {
        "role": "system",
        "content": "Be kind.",
    }


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_a_stream_of_gemini_over_chat_completions(standing: Standing, query: str) -> None:
    """Both framings; the last chunk has the reason and the usage."""
    answer = standing.ask("gpt-4o", "Say 潮😀", method="streamGenerateContent", query=query)
    chunks = events_of(answer) if query else answer.json
    assert said(chunks) == "You said: Say 潮😀"
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] > 0
    assert len({chunk["responseId"] for chunk in chunks}) == 1


def test_a_tool_loop_of_gemini_over_chat_completions(standing: Standing) -> None:
    """Parallel calls without ids of the client's: each result finds its call by name and order."""
    turns = [user("get_weather in Oslo; get_weather in Rome")]
    answer = standing.ask("gpt-4o", *turns, tools=[DECLARED])
    calls = [part["functionCall"] for part in parts_of(answer) if "functionCall" in part]
    assert calls[0]["name"] == "get_weather"
    assert answer.json["candidates"][0]["finishReason"] == "STOP"
    for call in calls:
        call.pop("id")  # older clients drop it
    results = [
        {"functionResponse": {"name": call["name"], "response": {"output": f"fair {number}"}}}
        for number, call in enumerate(calls)
    ]
    turns += [
        {"role": "model", "parts": [{"functionCall": call} for call in calls]},
        {"role": "user", "parts": results},
    ]
    told = standing.ask("gpt-4o", *turns, tools=[DECLARED])
    expected = "; ".join(f"fair {number}" for number in range(len(calls)))
    assert said([told.json]) == f"I was told: {expected}"


def test_a_schema_of_gemini_over_chat_completions(standing: Standing) -> None:
    """``responseSchema`` becomes JSON Schema."""
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    answer = standing.ask("gpt-4o", "Where is it?", generationConfig=config)
    assert "city" in json.loads(said([answer.json]))


def test_errors_of_another_dialect_have_gemini_s_shape(standing: Standing) -> None:
    """Status, word and when to come back."""
    answer = standing.ask("gpt-4o", "answer with status 400")
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    unknown = standing.ask("nobody", "Hi")
    assert (unknown.status, unknown.json["error"]["status"]) == (404, "NOT_FOUND")
    bad = standing.ask("gpt-4o", {"role": "usr", "parts": [{"text": "x"}]})
    assert bad.status == 400
    assert bad.json["error"]["details"][1]["fieldViolations"][0]["field"] == "contents[0].role"


# -- embeddings ------------------------------------------------------------------------------------


def embed(text: str, **more: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}, **more}


def test_embeddings_of_its_own_server(standing: Standing) -> None:
    """Both methods pass as they are; a model that has another name there is named right inside."""
    one = standing.post(
        "gemini-embedding-001", "embedContent", embed("abc", task_type="CLUSTERING")
    )
    assert one.json == {
        "embedding": {"values": [3.0, 0.25, -0.5, 1.0]},
        "usageMetadata": {"promptTokenCount": 3},
    }
    assert standing.asked.json == embed("abc", task_type="CLUSTERING")
    asked = [embed(text, model="models/vectors", outputDimensionality=2) for text in ("a", "bcd")]
    both = standing.post("vectors", "batchEmbedContents", {"requests": asked})
    assert both.json == {"embeddings": [{"values": [1.0, 0.25]}, {"values": [3.0, 0.25]}]}
    sent = standing.asked.json["requests"]
    assert [request["model"] for request in sent] == ["models/gemini-embedding-001"] * 2


def test_embeddings_of_either_dialect_over_the_other(standing: Standing) -> None:
    """Its clients over an OpenAI-compatible server, and the other way round."""
    asked = [embed(text, taskType="CLUSTERING") for text in ("a", "bcd")]
    theirs = standing.post("gpt-4o-mini", "batchEmbedContents", {"requests": asked})
    assert theirs.status == 200, theirs.text
    assert theirs.headers["x-ignored-parameters"] == "taskType"
    vectors = [found["values"] for found in theirs.json["embeddings"]]
    one = standing.post("gpt-4o-mini", "embedContent", embed("bcd"))
    assert one.json["embedding"]["values"] == vectors[1] != vectors[0]
    assert one.json["usageMetadata"]["promptTokenCount"] > 0
    ours = standing.gateway.fetch(
        "/v1/embeddings",
        method="POST",
        body=json.dumps({"model": "vectors", "input": ["a", "bcd"], "dimensions": 2}),
        headers={"authorization": f"Bearer {CLIENT_KEY}"},
    )
    assert [item["embedding"] for item in ours.json["data"]] == [[1.0, 0.25], [3.0, 0.25]]


@pytest.mark.parametrize(
    ("method", "body", "field"),
    [
        ("embedContent", {"content": {"parts": []}}, "content.parts"),
        ("embedContent", {}, "content"),
        ("batchEmbedContents", {"requests": []}, "requests"),
        ("embedContent", embed("a", outputDimensionality=0), "outputDimensionality"),
        (
            "batchEmbedContents",
            {"requests": [embed("a", outputDimensionality=2), embed("b")]},
            "requests",
        ),
        (
            "embedContent",
            {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}},
            "content.parts[0]",
        ),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_its_field(
    standing: Standing, method: str, body: Any, field: str
) -> None:
    """In the dialect's shape."""
    answer = standing.post("gpt-4o-mini", method, body)
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert answer.json["error"]["details"][1]["fieldViolations"][0]["field"] == field


# -- chat completions over Gemini ------------------------------------------------------------------


def test_a_chat_client_over_gemini(standing: Standing) -> None:
    """Trap 39: the prompt includes what was cached, thoughts are inside the answer."""
    answer = standing.chat("Hello")
    assert answer.json["choices"][0]["message"]["content"] == "You said: Hello"
    assert answer.json["model"] == "gemini-2.5-flash-001"
    usage = answer.json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 100
    assert usage["prompt_tokens"] == 101
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 7
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_chat_stream_over_gemini(standing: Standing) -> None:
    """It ends as such streams end."""
    answer = standing.chat("Say 潮😀", stream=True)
    events = events_of(answer)
    assert text_of(events) == "You said: Say 潮😀"
    assert events[-1] == "[DONE]"
    assert standing.asked.path.endswith(":streamGenerateContent?alt=sse")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_signature_comes_back_through_a_chat_client(standing: Standing, stream: bool) -> None:
    """Trap 55: with its call and only with it; the server refuses it anywhere else, or missing."""
    question = {"role": "user", "content": "What is it like in Oslo and Rome?"}
    first = standing.chat(
        "", model="gemini-3-flash", messages=[question], tools=[TOOL], stream=stream
    )
    calls = _calls_of(first, stream=stream)
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [
        {"city": "Oslo"},
        {"city": "Rome"},
    ]
    assert calls[0]["extra_content"]["google"]["thought_signature"]
    assert "extra_content" not in calls[1]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"fair {call['id']}"}
        for call in reversed(calls)  # answered in another order than asked
    ]
    turns = [question, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    told = standing.chat("", model="gemini-3-flash", messages=turns, tools=[TOOL])
    assert told.status == 200, told.text
    content = told.json["choices"][0]["message"]["content"]
    assert content == (
        "I was told: get_weather: fair get_weather-0; get_weather: fair get_weather-1"
    )
    assert first.headers.get("x-ignored-parameters") == "tools.format"


def _calls_of(answer: Answer, *, stream: bool) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.text
    if not stream:
        choice = answer.json["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        calls: list[dict[str, Any]] = choice["message"]["tool_calls"]
        return calls
    made: list[dict[str, Any]] = []
    for event in events_of(answer):
        for choice in event["choices"] if isinstance(event, dict) else ():
            for piece in choice["delta"].get("tool_calls") or ():
                if piece["index"] == len(made):
                    made.append({k: v for k, v in piece.items() if k != "index"})
                else:
                    made[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return made


def test_what_gemini_refuses_to_say_is_a_refusal(standing: Standing) -> None:
    """Trap 58: a blocked prompt and an unsafe answer are no empty success."""
    for prompt in ("be blocked", "be unsafe"):
        answer = standing.chat(prompt)
        choice = answer.json["choices"][0]
        assert choice["finish_reason"] == "content_filter"
        assert choice["message"]["refusal"]
        events = events_of(standing.chat(prompt, stream=True))
        assert events[-2]["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("prompt", ["be empty", "be malformed"])
def test_no_answer_of_gemini_is_an_error(standing: Standing, prompt: str) -> None:
    """Trap 58: tried again, then told."""
    answer = standing.chat(prompt)
    assert answer.status == 502
    assert len(standing.google.seen) == 3


def test_thinking_of_gemini_reaches_a_chat_client(standing: Standing) -> None:
    """An effort is a budget, or a level for the newest models."""
    answer = standing.chat("Why?", reasoning_effort="low")
    message = answer.json["choices"][0]["message"]
    assert message["reasoning_content"] == "The question has 1 words."
    config = standing.asked.json["generationConfig"]["thinkingConfig"]
    assert config == {"includeThoughts": True, "thinkingBudget": 1024}
    standing.chat("Why?", model="gemini-3-flash", reasoning_effort="low")
    config = standing.asked.json["generationConfig"]["thinkingConfig"]
    assert config == {"includeThoughts": True, "thinkingLevel": "LOW"}


def test_a_schema_and_a_picture_over_gemini(standing: Standing) -> None:
    """Structured output with what the dialect can say, and a picture's data."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "people": {"type": ["integer", "null"], "multipleOf": 2},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    answer = standing.chat("Where?", response_format=form)
    content = json.loads(answer.json["choices"][0]["message"]["content"])
    assert content == {"city": "Vaduz", "people": 5696}
    assert answer.headers["x-ignored-parameters"] == "response_format.multipleOf"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    turn = {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}
    shown = standing.chat("", messages=[turn])
    assert shown.json["choices"][0]["message"]["content"].endswith("[image/png, 4 characters]")


def test_a_bad_key_of_gemini_is_the_gateways_business(standing: Standing, tmp_path: Path) -> None:
    """The vendor tells it by a 400; the client sees no key and no 400."""
    data = tmp_path / "data"
    data.mkdir()
    config = configuration(standing.google, standing.vendor, "AIzaPlantedWrongKeyOfSomebody")
    (data / "config.toml").write_text(config)
    with gateway_process(data) as gateway:
        answer = gateway.ask("Hi", model="gemini-2.5-flash")
        again = gateway.ask("Hi", model="gemini-2.5-flash")
    assert (answer.status, again.status) == (503, 503)  # not used again until replaced
    assert "Planted" not in answer.text + again.text + "".join(gateway.output)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_of_gemini_is_tried_again(standing: Standing, status: int) -> None:
    """Once it fails, then it answers."""
    answer = standing.chat(f"answer with status {status} once for {status}")
    assert answer.status == 200, answer.text
    assert len(standing.google.seen) == 2


def test_when_to_come_back_is_told(standing: Standing) -> None:
    """The vendor says it in the details of its error."""
    answer = standing.chat("answer with status 429 in 40 s")
    assert answer.status == 429
    assert 35 <= int(answer.headers["retry-after"]) <= 40


# -- lists -----------------------------------------------------------------------------------------


def test_models_are_listed_in_the_clients_shape(standing: Standing) -> None:
    """A page at a time, with the names that route, and one by itself."""
    at = {"x-goog-api-key": CLIENT_KEY}
    found: list[str] = []
    token = ""
    while True:
        page = standing.gateway.fetch(
            f"/v1beta/models?pageSize=2&pageToken={token}", headers=at
        ).json
        assert len(page["models"]) <= 2
        found += (model["name"] for model in page["models"])
        for model in page["models"]:  # what is promised is served
            assert set(model["supportedGenerationMethods"]) <= SERVED
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert "models/nick" in found
    assert len(set(found)) == len(found)
    shown = standing.gateway.fetch("/v1beta/models/gemini-2.5-flash", headers=at)
    assert shown.json["name"] == "models/gemini-2.5-flash"
    assert shown.json["supportedGenerationMethods"] == ["generateContent", "countTokens"]
    newest = standing.gateway.fetch("/v1/models", headers=at)  # its clients ask there too
    assert shown.json in newest.json["models"]
    assert standing.gateway.fetch("/v1/models/nick", headers=at).json["name"] == "models/nick"
    usual = {"authorization": f"Bearer {CLIENT_KEY}"}
    assert standing.gateway.fetch("/v1/models", headers=usual).json["object"] == "list"
    by_query = standing.gateway.fetch(f"/v1beta/models?key={CLIENT_KEY}")
    assert by_query.status == 200
    for path in ("/v1beta/models", "/v1beta/models/gemini-2.5-flash"):
        assert standing.gateway.fetch(path).json["error"]["status"] == "UNAUTHENTICATED"
    bad = standing.gateway.fetch("/v1beta/models?pageToken=x", headers=at)
    assert bad.json["error"]["status"] == "INVALID_ARGUMENT"


def test_a_method_that_is_not_served_is_named(standing: Standing) -> None:
    """So is a wrong HTTP method at one that is."""
    answer = standing.ask("gemini-2.5-flash", "Hi", method="predict")
    assert (answer.status, answer.json["error"]["status"]) == (404, "NOT_FOUND")
    assert "'predict'" in answer.json["error"]["message"]
    none = standing.gateway.fetch(
        "/v1beta/models/nick", method="POST", body="{}", headers={"x-goog-api-key": CLIENT_KEY}
    )
    assert none.status == 404
    assert "':generateContent'" in none.json["error"]["message"]
    wrong = standing.gateway.fetch("/v1beta/models/gemini-2.5-flash:generateContent")
    assert (wrong.status, wrong.json["error"]["code"]) == (405, 405)


# -- counts ----------------------------------------------------------------------------------------


def test_a_gemini_server_counts_itself(standing: Standing) -> None:
    """Trap 63: the whole request names the path's model, whatever the client called it."""
    turns = [user("one two three")]
    headers = {"x-goog-api-key": CLIENT_KEY}
    for body in (
        {"contents": turns},
        {"generateContentRequest": {"model": "models/nick", "contents": turns}},
    ):
        answer = standing.gateway.fetch(
            "/v1beta/models/nick:countTokens",
            method="POST",
            body=json.dumps(body),
            headers=headers,
        )
        assert (answer.status, answer.json) == (200, {"totalTokens": 3}), answer.text
        assert "x-token-count" not in answer.headers
    assert standing.asked.path == "/v1beta/models/gemini-2.5-flash:countTokens"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_count_that_google_refuses_now_is_estimated(standing: Standing, status: int) -> None:
    """A limit or a trouble of the counting method is no reason to answer without a number."""
    prompt = user(f"answer with status {status}")
    answer = standing.ask("gemini-2.5-flash", prompt, method="countTokens")
    assert answer.status == 200, answer.text
    assert answer.json["totalTokens"] > 0
    assert answer.headers["x-token-count"].startswith("estimate")
    assert [seen.path.rpartition(":")[2] for seen in standing.google.seen] == ["countTokens"]


def test_a_count_while_the_credential_cools_is_estimated(standing: Standing) -> None:
    """Nobody can be asked, and the number is there at once all the same."""
    assert standing.ask("gemini-2.5-flash", "answer with status 429 in 60 s").status == 429
    asked = len(standing.google.seen)
    answer = standing.ask("gemini-2.5-flash", "one two three", method="countTokens")
    assert answer.status == 200, answer.text
    assert answer.json["totalTokens"] >= 3
    assert answer.headers["x-token-count"].startswith("estimate")
    assert len(standing.google.seen) == asked


def test_elsewhere_the_gateway_counts_and_says_so(standing: Standing) -> None:
    """Trap 63: instructions and tools count, nobody is asked, a header marks the estimate."""
    turns = [user("one two three")]
    short = standing.ask("gpt-4o", *turns, method="countTokens")
    assert short.json["totalTokens"] >= 3
    assert short.headers["x-token-count"].startswith("estimate")
    whole = {
        "model": "models/gpt-4o",
        "contents": turns,
        "tools": [DECLARED],
        "system_instruction": {"parts": [{"text": "Be kind to everybody."}]},
    }
    answer = standing.gateway.fetch(
        "/v1/models/gpt-4o:countTokens",
        method="POST",
        body=json.dumps({"generate_content_request": whole}),
        headers={"x-goog-api-key": CLIENT_KEY},
    )
    assert answer.json["totalTokens"] > short.json["totalTokens"] + 15
    assert not standing.vendor.seen
    neither = standing.gateway.fetch(
        "/v1beta/models/gpt-4o:countTokens",
        method="POST",
        body="{}",
        headers={"x-goog-api-key": CLIENT_KEY},
    )
    assert neither.json["error"]["status"] == "INVALID_ARGUMENT"
