"""An HTTP/1.1 client for one origin: `pool` is an httpx2 transport, `reply` parses responses without I/O."""
