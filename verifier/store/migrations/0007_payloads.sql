-- Payloads of an enrolment. Of a name the newest complete version is offered to the
-- agent; a newer one may be on its way here.
CREATE TABLE payload (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    enrolment      INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    name           TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    rev            INTEGER NOT NULL DEFAULT 1, -- every write raises it
    manifest       BLOB    NOT NULL,
    object         BLOB    NOT NULL, -- of U, sealed to the TPM
    secret         BLOB    NOT NULL,
    share          BLOB,             -- V; NULL: withdrawn
    size           INTEGER NOT NULL, -- of the ciphertext
    received       INTEGER NOT NULL DEFAULT 0, -- of size
    complete       INTEGER NOT NULL DEFAULT 0, -- all of it is here, with the digest of the manifest
    expires_at     INTEGER NOT NULL,
    added_at       INTEGER NOT NULL,
    released_at    INTEGER, -- the last time
    released_count INTEGER NOT NULL DEFAULT 0,
    refused_at     INTEGER, -- by the agent, the last time
    refused_reason TEXT,
    receipt        BLOB,
    receipt_at     INTEGER,
    withdrawn_at   INTEGER,
    UNIQUE (enrolment, name, version)
) STRICT;

-- The ciphertext, in parts of the same length but for the last.
CREATE TABLE payload_part (
    payload INTEGER NOT NULL REFERENCES payload ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    bytes   BLOB    NOT NULL,
    PRIMARY KEY (payload, number)
) STRICT;
