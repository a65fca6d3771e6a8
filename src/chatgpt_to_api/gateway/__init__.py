"""The engine, the only place where all rooms meet: route, lease, call, translate, account."""
