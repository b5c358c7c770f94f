"""The drill: the real configuration through every kind of outage, with simulated providers."""
