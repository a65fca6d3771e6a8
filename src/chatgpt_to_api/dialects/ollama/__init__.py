"""Ollama's own API, both sides: chat, generate, embed, and the lists of models around them."""
