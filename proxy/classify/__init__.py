"""Whether an answer is good, not yet, or which fault it is, and what follows from that. No I/O."""
