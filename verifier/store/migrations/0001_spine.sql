-- Times are Unix milliseconds by the database's clock.

CREATE TABLE policy (
    name       TEXT    PRIMARY KEY,
    digest     TEXT    NOT NULL, -- SHA-256 of text, hex
    text       BLOB    NOT NULL,
    paths      INTEGER NOT NULL,
    excludes   INTEGER NOT NULL,
    unknown    TEXT    NOT NULL, -- JSON array
    updated_at INTEGER NOT NULL
) STRICT;

-- An enrolment is immutable. Its id is never used again, so that (id, rev) names
-- one state of one record for ever.
CREATE TABLE enrolment (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    agent       TEXT    NOT NULL UNIQUE,
    ek          BLOB    NOT NULL, -- TPMT_PUBLIC
    ak          BLOB    NOT NULL, -- TPMT_PUBLIC
    transport   BLOB    NOT NULL, -- TPMT_PUBLIC
    spki        BLOB    NOT NULL UNIQUE, -- SHA-256 of the transport key's SubjectPublicKeyInfo
    lowest_bank INTEGER NOT NULL, -- TPM_ALG_ID
    enrolled_at INTEGER NOT NULL
) STRICT;

-- What is known of an enrolment now. Every write raises rev.
CREATE TABLE state (
    enrolment INTEGER PRIMARY KEY REFERENCES enrolment ON DELETE CASCADE,
    rev       INTEGER NOT NULL DEFAULT 1,
    label     TEXT    NOT NULL,
    policy    TEXT    REFERENCES policy, -- NULL: none
    judged    TEXT    NOT NULL DEFAULT '', -- digest of the policy that all entries of the epoch were judged by; '': nothing judged

    epoch         BLOB, -- NULL: no evidence was accepted yet, and all down to firmware is NULL
    reset_count   INTEGER,
    restart_count INTEGER,
    boot          BLOB, -- digest of the boot PCRs
    epoch_at      INTEGER,
    bank          INTEGER,
    entries       INTEGER,
    pcr           BLOB,
    clock         INTEGER,
    evidence      BLOB,
    trusted_until INTEGER,
    trusted_for   INTEGER, -- T: no trust reaches further ahead than this
    attested_at   INTEGER,
    nonce_at      INTEGER,
    trigger       TEXT,
    first_entry   INTEGER,
    new_entries   INTEGER,
    replay_nanos  INTEGER,
    firmware      TEXT,

    cleared_count   INTEGER NOT NULL DEFAULT 0, -- failures that operators have cleared
    cleared_at      INTEGER,
    cleared_entries INTEGER NOT NULL DEFAULT 0, -- what failed of the epoch's first so many entries, an operator has cleared
    failures_unkept INTEGER NOT NULL DEFAULT 0, -- of the epoch, beyond the limit of kept ones
    failures_lost   INTEGER NOT NULL DEFAULT 0, -- the same of earlier epochs, which nobody can judge again
    rejected_at      INTEGER,
    rejected_id      TEXT,
    rejected_message TEXT,
    rejected_count   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX state_policy ON state (policy);

-- Entries of measurement lists, each stored once for the whole fleet.
CREATE TABLE entry (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE, -- SHA-256 of bytes
    bytes  BLOB NOT NULL
) STRICT;

-- Which entries an enrolment certified in its epoch, in order: entries is a
-- sequence of signed varints, each the difference to the entry id before it.
CREATE TABLE segment (
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    epoch     BLOB    NOT NULL,
    first     INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    entries   BLOB    NOT NULL,
    PRIMARY KEY (enrolment, epoch, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE boot_log (
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    epoch     BLOB    NOT NULL,
    bytes     BLOB    NOT NULL,
    PRIMARY KEY (enrolment, epoch)
) STRICT;

CREATE TABLE failure (
    seq        INTEGER PRIMARY KEY,
    enrolment  INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    epoch      BLOB    NOT NULL,
    entry      INTEGER NOT NULL, -- index in the list; -1: not about one entry
    id         TEXT    NOT NULL,
    body       BLOB    NOT NULL, -- wire.Failure as JSON
    raw        BLOB,             -- the bytes of the entry, to judge it again when its epoch is past
    count      INTEGER NOT NULL DEFAULT 1,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    cleared_at INTEGER,
    UNIQUE (enrolment, epoch, entry, id)
) STRICT;

CREATE INDEX failure_standing ON failure (enrolment, last_at) WHERE cleared_at IS NULL;
