"""The HTTP/1.1 client that speaks to upstreams: sockets, TLS, proxies, keep-alive, timeouts."""
