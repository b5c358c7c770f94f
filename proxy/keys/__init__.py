"""Who calls: credentials, the keys that there are, and what their scopes allow."""
