"""OpenAI's legacy completions: relayed where a server has them, else asked as a chat."""
