"""What a request may take and did take, in tokens and in money."""
