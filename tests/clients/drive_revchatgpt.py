"""Runs in revChatGPT's own environment: a whole session, told as JSON on standard output.

Arguments: the base URL (with its final slash) and a bearer.
"""

import asyncio
import json
import sys

from revChatGPT.typings import Error
from revChatGPT.V1 import AsyncChatbot, Chatbot

BASE, TOKEN = sys.argv[1:]


def chatbot(**more):
    return Chatbot({"access_token": TOKEN}, base_url=BASE, **more)


def sync_session():
    bot = chatbot()
    first = list(bot.ask("""Say 'it' "so" \\ 潮😀"""))
    second = list(bot.ask("again"))
    conversation, parent = second[-1]["conversation_id"], second[-1]["parent_id"]
    told = {
        "first": [item["message"] for item in first],
        "first_end": [first[-1]["finish_details"], first[-1]["end_turn"], first[-1]["model"]],
        "second": second[-1]["message"],
        "same": first[-1]["conversation_id"] == conversation,
        "title": bot.gen_title(conversation, parent),
        "title_again": bot.gen_title(conversation, parent),
    }
    bot.change_title(conversation, 'Renamed "潮"')
    told["listed"] = [item["title"] for item in bot.get_conversations()]
    told["current"] = bot.get_msg_history(conversation)["current_node"] == parent
    bot.reset_chat()
    told["continued"] = list(bot.ask("cut", auto_continue=True))[-1]["message"]
    # Another object that knows the conversation's id alone, asking for its current message …
    told["by_id"] = list(chatbot(conversation_id=conversation).ask("third"))[-1]["message"]
    # … and one that looks at every conversation first.
    eager = chatbot(conversation_id=conversation, lazy_loading=False)
    told["by_map"] = list(eager.ask("fourth"))[-1]["message"]
    hidden = Chatbot({"access_token": TOKEN, "disable_history": True}, base_url=BASE)
    list(hidden.ask("hidden"))
    told["hidden_goes_on"] = list(hidden.ask("on"))[-1]["message"]
    told["count"] = len(bot.get_conversations())
    bot.delete_conversation(conversation)
    told["count_after_delete"] = len(bot.get_conversations())
    try:
        list(chatbot(conversation_id=conversation, parent_id=parent).ask("gone"))
    except Error as error:
        told["error"] = [type(error).__name__, error.code, json.loads(error.message)]
    bot.clear_conversations()
    told["count_after_clear"] = len(bot.get_conversations())
    return told


async def async_session():
    bot = AsyncChatbot({"access_token": TOKEN}, base_url=BASE)
    texts = [item["message"] async for item in bot.ask("潮😀")]
    again = [item["message"] async for item in bot.ask("again")]
    conversation = bot.conversation_id
    await bot.change_title(conversation, "Async")
    told = {
        "texts": texts,
        "again": again[-1],
        "listed": [item["title"] for item in await bot.get_conversations()],
    }
    try:
        await bot.change_title(conversation, 'a "quote"')
    except Error as error:
        told["bad_json"] = [type(error).__name__, str(error)]
    await bot.clear_conversations()
    told["count_after_clear"] = len(await bot.get_conversations())
    return told


json.dump({"sync": sync_session(), "async": asyncio.run(async_session())}, sys.stdout)
