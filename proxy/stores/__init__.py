"""Stores for keys, budgets and the ledger: in memory, in SQLite, or in Redis or Valkey. A URL selects one."""
