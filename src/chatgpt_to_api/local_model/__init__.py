"""The embedded default: a small model that is fetched once and served by a llama.cpp child."""
