"""The concerns around the core, one file each: every one is plain ASGI and works alone in a foreign app."""
