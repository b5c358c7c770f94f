"""Rehearsals of an outage: providers that misbehave on cue."""
