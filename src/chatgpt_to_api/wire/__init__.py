"""What codecs and sockets share: HTTP values, headers, secrets, SSE splitting. Pure values."""
