"""Runs in the environment of ``google-genai``: a session, told as JSON on stdout.

Arguments: the model. Address and key come from GATEWAY_URL and GEMINI_API_KEY.
"""

import asyncio
import json
import os
import sys

from google import genai
from google.genai import errors, types

model = sys.argv[1]
client = genai.Client(
    api_key=os.environ["GEMINI_API_KEY"],
    http_options=types.HttpOptions(base_url=os.environ["GATEWAY_URL"]),
)
told = {}

answer = client.models.generate_content(model=model, contents="Hello")
usage = answer.usage_metadata
told["whole"] = [answer.text, answer.candidates[0].finish_reason.name, usage.total_token_count > 0]
pieces = list(client.models.generate_content_stream(model=model, contents="Say 潮😀"))
told["streamed"] = [
    "".join(piece.text or "" for piece in pieces),
    len(pieces) > 1,
    pieces[-1].candidates[0].finish_reason.name,
]


async def streamed():
    said = ""
    stream = await client.aio.models.generate_content_stream(model=model, contents="Say 潮😀")
    async for piece in stream:
        said += piece.text or ""
    return said


told["async"] = asyncio.run(streamed())
seen = []


def get_weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: Its name.
    """
    seen.append(city)
    return f"{city} is fair"


automatic = client.models.generate_content(
    model=model,
    contents="get_weather: how is it in 'Oslo'?",
    config=types.GenerateContentConfig(tools=[get_weather]),
)
told["automatic"] = [automatic.text, seen]

declared = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"city": types.Schema(type=types.Type.STRING)},
                required=["city"],
            ),
        )
    ]
)
config = types.GenerateContentConfig(
    tools=[declared],
    tool_config=types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
        )
    ),
)
question = types.Content(
    role="user", parts=[types.Part(text="get_weather: how is it in 'Oslo' and 'Rome'?")]
)
calling = client.models.generate_content(model=model, contents=[question], config=config)
calls = calling.function_calls
told["called"] = [[call.name, sorted(call.args)] for call in calls]
results = [
    types.Part(
        function_response=types.FunctionResponse(
            id=call.id, name=call.name, response={"output": f"fair {number}"}
        )
    )
    for number, call in enumerate(calls)
]
turns = [question, calling.candidates[0].content, types.Content(role="user", parts=results)]
told["results"] = client.models.generate_content(
    model=model, contents=turns, config=types.GenerateContentConfig(tools=[declared])
).text

shaped = client.models.generate_content(
    model=model,
    contents="Where is it?",
    config={
        "response_mime_type": "application/json",
        "response_schema": {
            "type": "OBJECT",
            "properties": {"city": {"type": "STRING"}},
            "required": ["city"],
        },
    },
)
told["shaped"] = sorted(json.loads(shaped.text))

chat = client.chats.create(model=model)
chat.send_message("One")
told["chat"] = chat.send_message("Two").text
told["history"] = [content.role for content in chat.get_history()]
told["streamedChat"] = "".join(p.text or "" for p in chat.send_message_stream("Three"))

told["models"] = [card.name for card in client.models.list(config={"page_size": 3})]
embedder = "gpt-4o-mini" if model.startswith("gpt") else "gemini-embedding-001"
vectors = client.models.embed_content(model=embedder, contents=["a", "bcd"]).embeddings
told["embedded"] = [len(vectors), vectors[0].values != vectors[1].values]

told["counted"] = client.models.count_tokens(model=model, contents="one two three").total_tokens
told["limited"] = (
    client.models.generate_content(model=model, contents="Hello", config={"max_output_tokens": 1})
    .candidates[0]
    .finish_reason.name
)


def failure(name, prompt, stream=False):
    """What the client raises."""
    try:
        if stream:
            for _ in client.models.generate_content_stream(model=name, contents=prompt):
                pass
        else:
            client.models.generate_content(model=name, contents=prompt)
    except errors.APIError as error:
        return [type(error).__name__, error.code, error.status]
    return None


told["unknown"] = failure("nobody", "Hi")
told["refused"] = failure(model, "answer with status 400")
told["limits"] = failure(model, "answer with status 429 in 2 s")
told["cut"] = failure(model, "cut the stream", stream=True)
strangers = genai.Client(
    api_key="wrong", http_options=types.HttpOptions(base_url=os.environ["GATEWAY_URL"])
)
client = strangers
told["stranger"] = failure(model, "Hi")
sys.stdout.write(json.dumps(told) + "\n")
