"""What a backend lacks, done on chat values: stop strings, a token limit."""
