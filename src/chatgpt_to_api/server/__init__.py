"""The client's side of the process: sockets, HTTP, who may come in, and which door answers."""
