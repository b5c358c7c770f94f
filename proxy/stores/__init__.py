"""Where keys, money and the ledger are kept: in memory, in SQLite, in Redis or Valkey; chosen by URL."""
