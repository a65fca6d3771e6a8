"""Whatever else an OpenAI-kind server has under ``/v1/``: its bytes, and what is around them."""
