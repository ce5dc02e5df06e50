CREATE TABLE boot_policy (
    name        TEXT    PRIMARY KEY,
    digest      TEXT    NOT NULL, -- SHA-256 of text, hex
    text        BLOB    NOT NULL,
    kernels     INTEGER NOT NULL,
    firmwares   INTEGER NOT NULL,
    secure_boot INTEGER NOT NULL,
    unknown     TEXT    NOT NULL, -- JSON array
    updated_at  INTEGER NOT NULL
) STRICT;

ALTER TABLE state ADD COLUMN boot_policy TEXT REFERENCES boot_policy; -- NULL: none
-- Digest of the boot policy that the epoch's boot was judged by; '': not judged yet.
ALTER TABLE state ADD COLUMN boot_judged TEXT NOT NULL DEFAULT 'not evaluated';
ALTER TABLE state ADD COLUMN boot_values BLOB; -- see appraise.Opinion

ALTER TABLE state ADD COLUMN pcr_policy BLOB; -- Keylime's tpm_policy; NULL: none
ALTER TABLE state ADD COLUMN pcr_digest TEXT NOT NULL DEFAULT 'not evaluated'; -- SHA-256 of pcr_policy
ALTER TABLE state ADD COLUMN pcr_judged TEXT NOT NULL DEFAULT 'not evaluated'; -- pcr_digest that the last quote was judged by; '': not judged yet

CREATE INDEX state_boot_policy ON state (boot_policy);

-- A failure is of the list or of an evidence as a whole, of the boot, or of single
-- PCRs, each of which is judged again by itself. Those of a boot are told apart by
-- a key.
ALTER TABLE failure RENAME TO old_failure;
CREATE TABLE failure (
    seq        INTEGER PRIMARY KEY,
    enrolment  INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    epoch      BLOB    NOT NULL,
    part       TEXT    NOT NULL DEFAULT '' CHECK (part IN ('', 'boot', 'pcrs')),
    entry      INTEGER NOT NULL, -- index in the list; -1: not about one entry
    id         TEXT    NOT NULL,
    key        BLOB    NOT NULL DEFAULT x'', -- see appraise.BootFailure
    body       BLOB    NOT NULL, -- wire.Failure as JSON
    raw        BLOB,             -- the bytes of the entry, to judge it again when its epoch is past
    count      INTEGER NOT NULL DEFAULT 1,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    cleared_at INTEGER,
    below      INTEGER NOT NULL DEFAULT 0 CHECK (below >= 0), -- how many labels it is below the highest; 0: it is decisive
    warned     INTEGER NOT NULL DEFAULT 0, -- the runtime policy wants to be warned of it, and no more
    UNIQUE (enrolment, epoch, part, entry, id, key)
) STRICT;
INSERT INTO failure (seq, enrolment, epoch, entry, id, body, raw, count, first_at, last_at, cleared_at, below, warned)
    SELECT seq, enrolment, epoch, entry, id, body, raw, count, first_at, last_at, cleared_at, below, warned FROM old_failure;
DROP TABLE old_failure;
CREATE INDEX failure_standing ON failure (enrolment, last_at) WHERE cleared_at IS NULL;
CREATE INDEX failure_severity ON failure (enrolment, below) WHERE cleared_at IS NULL;

ALTER TABLE condition RENAME TO old_condition;
CREATE TABLE condition (
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    part      TEXT    NOT NULL CHECK (part IN ('', 'boot')), -- as of a failure
    number    INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    body      BLOB    NOT NULL, -- wire.Failure as JSON
    below     INTEGER NOT NULL,
    PRIMARY KEY (enrolment, part, number)
) STRICT, WITHOUT ROWID;
INSERT INTO condition SELECT enrolment, '', number, id, body, below FROM old_condition;
DROP TABLE old_condition;
