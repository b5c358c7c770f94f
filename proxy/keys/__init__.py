"""Authentication: credentials, virtual keys, and what the scopes of a key allow."""
