"""What a request tells those who operate the gateway: spans, metrics, and one line of a log."""
