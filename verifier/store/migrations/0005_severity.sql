-- What a failure weighs: how many labels it is below the highest. 0: it is decisive.
ALTER TABLE failure ADD COLUMN below INTEGER NOT NULL DEFAULT 0 CHECK (below >= 0);
ALTER TABLE failure ADD COLUMN warned INTEGER NOT NULL DEFAULT 0; -- the runtime policy wants to be warned of it, and no more

CREATE INDEX failure_severity ON failure (enrolment, below) WHERE cleared_at IS NULL;

-- failures_unkept and failures_lost are of decisive ones; these of tolerated ones.
ALTER TABLE state ADD COLUMN tolerated_unkept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN tolerated_lost INTEGER NOT NULL DEFAULT 0;

ALTER TABLE state ADD COLUMN severity INTEGER; -- of the gravest that stands, as in failure.below; NULL: nothing does
ALTER TABLE state ADD COLUMN severity_at INTEGER; -- when it rose last
UPDATE state SET severity = 0 WHERE failures_unkept + failures_lost > 0
    OR EXISTS (SELECT 1 FROM failure WHERE failure.enrolment = state.enrolment AND cleared_at IS NULL);

-- What the policy still waited for at the last accepted evidence.
CREATE TABLE condition (
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    body      BLOB    NOT NULL, -- wire.Failure as JSON
    below     INTEGER NOT NULL,
    PRIMARY KEY (enrolment, number)
) STRICT, WITHOUT ROWID;

-- The configuration that below was computed by; no row: the default.
CREATE TABLE scale (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    digest TEXT    NOT NULL
) STRICT;
