"""The server's own interface, version 1: one router for each kind of thing."""
