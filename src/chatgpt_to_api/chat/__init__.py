"""The canonical chat: requests and events that every dialect translates to and from."""
