"""Guardrails: the rules for what may be said, their kinds, and the texts of requests and answers they
read."""
