-- The tables of a SQLite store, version 1. Amounts are integers: nano-dollars, tokens or requests.

-- Sums: what is spent and held in each bucket, and when it can be forgotten (seconds since 1970, or never).
CREATE TABLE sums (
    account TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    forget INTEGER,
    PRIMARY KEY (account, bucket)
) WITHOUT ROWID;

-- Rates: what was gone when, by the monotonic clock of that boot.
CREATE TABLE rates (
    account TEXT NOT NULL PRIMARY KEY,
    gone REAL NOT NULL,
    at REAL NOT NULL,
    boot TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE leases (
    account TEXT NOT NULL PRIMARY KEY,
    held INTEGER NOT NULL
) WITHOUT ROWID;

-- Holds that have not ended. `began` and `expires` are of the monotonic clock of that boot.
CREATE TABLE holds (
    id TEXT NOT NULL PRIMARY KEY,
    boot TEXT NOT NULL,
    began REAL NOT NULL,
    expires REAL NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;

-- Ids of holds that have ended, until they can be forgotten (seconds since 1970).
CREATE TABLE ended (
    id TEXT NOT NULL PRIMARY KEY,
    forget REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX ended_forget ON ended (forget);

-- The ledger: one line for each attempt, in the order in which they were written. Nothing changes a line.
CREATE TABLE ledger (
    line INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    request_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    organisation TEXT,
    team TEXT,
    user TEXT,
    key TEXT,
    pool TEXT,
    target TEXT NOT NULL,
    provider TEXT,
    operation TEXT,
    model TEXT,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost INTEGER,
    charged INTEGER,
    source TEXT NOT NULL,
    outcome TEXT NOT NULL,
    fault TEXT,
    first_token REAL,
    duration REAL NOT NULL
);
CREATE INDEX ledger_at ON ledger (at);

CREATE TABLE keys (
    name TEXT NOT NULL PRIMARY KEY,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE digests (
    digest TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
) WITHOUT ROWID;

PRAGMA user_version = 1;
