-- Which provider issued an id or a signature to which API key, until it can be forgotten (seconds since 1970).
-- Added to files of version 1 that were made without it.
CREATE TABLE IF NOT EXISTS issued (
    key TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    owner TEXT NOT NULL,
    forget REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS issued_forget ON issued (forget);
