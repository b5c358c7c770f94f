"""The core of Standby: one request's way from accept to answer, and the providers at its end."""
