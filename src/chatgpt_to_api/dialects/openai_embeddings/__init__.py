"""OpenAI's embeddings, both sides. Texts become vectors, so nothing here is a chat."""
