"""Who may answer, in which order, and the reason for every one that may not."""
