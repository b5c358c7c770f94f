"""HTTP/1.1 to one origin: `pool` is the door, an httpx2 transport; `reply` is what is parsed, without I/O."""
