"""The ChatGPT-web conversation protocol: ``POST …/conversation`` answered by an event stream."""
