-- Times are milliseconds since 1970 UTC by the database's clock. Public areas
-- are TPMT_PUBLIC; ids and hashes are derived from them and checked on reading.

CREATE TABLE machines (
    id               TEXT    NOT NULL PRIMARY KEY, -- hex SHA-256 of ek_public
    label            TEXT    NOT NULL,
    ek_public        BLOB    NOT NULL,
    ek_certificate   BLOB,                         -- DER, chains to an anchor; NULL: none
    ek_vendor        TEXT    NOT NULL,
    ak_public        BLOB    NOT NULL,             -- the keys in force
    transport_public BLOB    NOT NULL,
    token_id         TEXT    NOT NULL,             -- the join token that bound the TPM to a machine
    registered_at    INTEGER NOT NULL,
    seen_at          INTEGER NOT NULL
) STRICT;

-- Keys that a known TPM came with and that are not in force: the last ones, and
-- how often it came with others.
CREATE TABLE offered_keys (
    machine_id       TEXT    NOT NULL PRIMARY KEY REFERENCES machines (id) ON DELETE CASCADE,
    ak_public        BLOB    NOT NULL,
    transport_public BLOB    NOT NULL,
    token_id         TEXT    NOT NULL,
    count            INTEGER NOT NULL,
    seen_at          INTEGER NOT NULL
) STRICT;

CREATE TABLE join_tokens (
    id          TEXT    NOT NULL PRIMARY KEY,
    secret_hash BLOB    NOT NULL, -- SHA-256; the secret itself is nowhere
    label       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_by     TEXT,             -- agent id, which may be forgotten since
    used_at     INTEGER
) STRICT;
