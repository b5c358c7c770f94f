"""Outage rehearsals: simulated providers that fail on request, and the demo."""
