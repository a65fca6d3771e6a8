"""OpenAI's embeddings, both sides. Texts become vectors, so nothing here passes through chat."""
