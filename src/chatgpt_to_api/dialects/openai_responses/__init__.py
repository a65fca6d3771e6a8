"""OpenAI's Responses, both sides: the door for clients, the upstream for servers.

What both sides hold to, so that each reads back what the other writes:

- Items of the model that follow each other (thoughts, messages, calls) are parts of one assistant
  message; each call's output is a message of role ``tool``. Instructions are a first message of
  role ``system``; ``developer`` stays what it is.
- A thought's text is its summary, else its content, paragraphs joined by an empty line; what is
  sealed in it (``encrypted_content``) is the opaque part, as it came and nothing else.
- A tool of a namespace has a flat name (``naming.flat_name``); its vendor fields hold what is left
  of it, with ``namespace``: ``{"name": …, "description": …}`` and its bare ``name``. A call of one
  has the flat name, and ``namespace`` and bare ``name`` (strings) as vendor fields.
- A custom tool is a freeform tool. A client's tool search is a function ``tool_search`` with vendor
  fields ``{"type": "tool_search", …}``; other hosted tools stand in ``extras`` under ``tools``.
- Items nobody else has a meaning for (a hosted tool's call) are foreign parts: the item's JSON.
- Ids and states of items are left out: ids are those of whoever answered, states say nothing new.
"""
