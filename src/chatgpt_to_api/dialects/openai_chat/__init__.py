"""OpenAI's chat completions, both sides: the door for clients, the upstream for servers."""
