"""The way out: one attempt, one call, streamed back."""
