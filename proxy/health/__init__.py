"""Target health across requests: breakers, cooldowns, degradation, latency and state affinity."""
