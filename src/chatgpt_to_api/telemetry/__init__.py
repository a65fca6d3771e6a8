"""What the gateway remembers of its work: request records, logs, token tables."""
