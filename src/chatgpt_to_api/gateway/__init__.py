"""The engine: route, lease, call, translate or relay, account. The only place where all rooms meet."""
