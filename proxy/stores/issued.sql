-- Version 2: which provider issued an id or a signature to which API key, until it can be forgotten (seconds
-- since 1970).
CREATE TABLE issued (
    key TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    owner TEXT NOT NULL,
    forget REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX issued_forget ON issued (forget);

PRAGMA user_version = 2;
