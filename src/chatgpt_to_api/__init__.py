"""ChatGPT-to-API: a self-hosted gateway between API dialects and model access."""

from importlib.metadata import version

__version__ = version("chatgpt-to-api")
