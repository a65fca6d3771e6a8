"""What OpenAI's endpoints share: errors, faults, token counts, streams. No dialect by itself."""
