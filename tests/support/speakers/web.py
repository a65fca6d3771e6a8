"""The ChatGPT-web conversation protocol, in its first form (growing snapshots)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from support.scripted_backend import Play, Seen, json_play
from support.speakers.scene import BUSY, TOOL, Asking, Heard, Scene, Told, read_sse, streamed

FINISHES = {"stop": "stop", "calls": "stop", "length": "max_tokens", "refusal": "content_filter"}
HEARD = {"stop": "stop", "max_tokens": "length", "content_filter": "refusal"}
CONVERSATION = "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61"


class Web:
    """A client and a server of the protocol. Its clients know text, and nothing but streams."""

    name = "conversation"
    kind = "conversation"

    def asking(self, scene: Scene, model: str) -> Asking:
        messages = [
            {
                "id": str(uuid.uuid4()),
                "author": {"role": turn.role},
                "content": {"content_type": "text", "parts": [turn.text]},
            }
            for turn in scene.turns
        ]
        body = {
            "action": "next",
            "messages": messages,
            "model": model,
            "parent_message_id": str(uuid.uuid4()),
        }
        return Asking("/backend-api/conversation", body, {"Authorization": "Bearer somebody"})

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        assert stream
        heard = Heard()
        for _, data in read_sse(body):
            assert not heard.whole and not heard.error, "something follows the end"
            if data == "[DONE]":
                heard.whole = True
                continue
            if data.get("error"):
                heard.error = data["error"]
                continue
            message = data.get("message")
            if message is None or message["author"]["role"] != "assistant":
                continue
            heard.text = "".join(message["content"]["parts"])
            finish = message["metadata"].get("finish_details")
            if finish is not None:
                heard.finish = HEARD[finish["type"]]
        return heard

    def error(self, body: bytes) -> str:
        return json.dumps(json.loads(body)["detail"])

    def play(self, scene: Scene, seen: Seen) -> Play:
        if scene.ending == "error first":
            return json_play({"detail": BUSY}, 503)
        said = scene.says
        events = []
        if said.reasoning:
            thought = {"summary": "", "content": said.reasoning}
            content = {"content_type": "thoughts", "thoughts": [thought]}
            events.append(self._event(str(uuid.UUID(int=1)), content))
        text = said.text
        if said.calls:  # in the words that the prompt has taught
            text = "\n".join(
                f"<tool_call>{json.dumps({'name': TOOL, 'arguments': call.arguments})}</tool_call>"
                for call in said.calls
            )
        middle = len(text) // 2
        for shown in (text[:middle], text):
            events.append(self._event(str(uuid.UUID(int=2)), self._text(shown)))
        content = len(events) - 1
        ended = {
            "status": "finished_successfully",
            "end_turn": True,
            "metadata": {"finish_details": {"type": FINISHES[said.finish]}},
        }
        events.append(self._event(str(uuid.UUID(int=2)), self._text(text), **ended))
        events.append(b"data: [DONE]\n\n")
        failed = {"message": None, "conversation_id": CONVERSATION, "error": BUSY}
        return streamed(scene, events, content, [b"data: " + json.dumps(failed).encode() + b"\n\n"])

    def _text(self, text: str) -> dict[str, Any]:
        return {"content_type": "text", "parts": [text]}

    def _event(self, id: str, content: dict[str, Any], **more: Any) -> bytes:
        message = {
            "id": id,
            "author": {"role": "assistant", "name": None, "metadata": {}},
            "create_time": 1697031001.25,
            "update_time": None,
            "content": content,
            "status": "in_progress",
            "end_turn": None,
            "weight": 1.0,
            "metadata": {},
            "recipient": "all",
            **more,
        }
        message["metadata"] = {"message_type": "next", **message["metadata"]}
        data = {"message": message, "conversation_id": CONVERSATION, "error": None}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    def told(self, seen: Seen) -> Told:
        told = Told()
        for message in seen.json["messages"]:
            for part in message["content"]["parts"]:
                told.texts.append((message["author"]["role"], part))
        return told


WEB = Web()
