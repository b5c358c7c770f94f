"""Budgets and limits: the accounts of a request, its hold before it is sent, its settlement afterwards."""
