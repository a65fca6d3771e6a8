"""Runs in Pandora's own environment: its client class, then its command line's chat loop.

Arguments: the base URL (without a final slash; Pandora adds ``/api/…``) and a bearer.
"""

import builtins
import json
import os
import sys
from uuid import uuid4

BASE, TOKEN = sys.argv[1:]
os.environ["CHATGPT_API_PREFIX"] = BASE

from pandora.bots.legacy import ChatBot  # noqa: E402  # it reads the environment
from pandora.openai.api import ChatGPT  # noqa: E402


def read(reply):
    status, _, items = reply
    return status, list(items)


def client_session():
    pandora = ChatGPT({"me": TOKEN})
    model = pandora.list_models()[0]["slug"]
    prompt, question, root = "潮😀 'a' \"b\" \\", str(uuid4()), str(uuid4())
    status, items = read(pandora.talk(prompt, model, question, root))
    conversation, answer = items[-1]["conversation_id"], items[-1]["message"]["id"]
    told = {
        "status": status,
        "texts": [item["message"]["content"]["parts"][0] for item in items],
        "title": pandora.gen_conversation_title(conversation, model, answer),
    }
    try:
        pandora.gen_conversation_title(conversation, model, answer)
    except Exception as error:  # noqa: BLE001  # it raises nothing narrower
        told["title_again"] = str(error)
    _, items = read(pandora.regenerate_reply(prompt, model, conversation, question, root))
    told["variant"] = [item["message"]["content"]["parts"][0] for item in items][-1]
    variant = items[-1]["message"]["id"]
    _, items = read(pandora.talk("cut", model, str(uuid4()), variant, conversation))
    cut = items[-1]["message"]
    told["cut"] = cut["metadata"]["finish_details"]
    _, items = read(pandora.goon(model, cut["id"], conversation))
    told["goon"] = items[-1]["message"]["content"]["parts"][0]
    told["renamed"] = pandora.set_conversation_title(conversation, "Renamed")
    page = pandora.list_conversations(0, 20)
    told["listed"] = [page["total"], [item["title"] for item in page["items"]]]
    told["nodes"] = len(pandora.get_conversation(conversation)["mapping"])
    told["unknown"] = list(read(pandora.talk("x", model, str(uuid4()), root, str(uuid4()))))
    told["deleted"] = pandora.del_conversation(conversation)
    told["cleared"] = pandora.clear_conversations()
    told["left"] = pandora.list_conversations(0, 20)["total"]
    return told


def command_line_session():
    """Its own chat loop, fed line by line; what it shows is captured."""
    lines = iter(
        ["1", "Hello", "", "again", "", "/regen", "/goon", "/reload", "one more", "", "/exit"]
    )
    builtins.input = lambda *_: next(lines)
    bot = ChatBot(ChatGPT({"me": TOKEN}))
    try:
        bot.run()
    except KeyboardInterrupt:
        state = bot.state
    pandora = bot.chatgpt
    tree = pandora.get_conversation(state.conversation_id)
    return {"title": state.title, "asked": len(state.user_prompts), "nodes": len(tree["mapping"])}


told = {"client": client_session(), "command_line": command_line_session()}
sys.stdout.write("\n" + json.dumps(told) + "\n")
