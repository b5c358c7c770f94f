"""The estimated and the actual usage of a request, in tokens and in money."""
