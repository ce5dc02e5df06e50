-- Agents of which something was written that others may have to be told of. Whoever
-- changes a state marks it without knowing; the end of the same write takes the mark
-- away (settle). One that is left is found by the sweep.
CREATE TABLE changed (
    agent TEXT PRIMARY KEY,

    -- Of an enrolment that ended in this write; NULL: none did.
    label TEXT,
    epoch BLOB,
    peer  TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER state_changed AFTER UPDATE OF trusted_until, judged, boot_judged, pcr_judged, severity, severity_at ON state
BEGIN
    INSERT OR IGNORE INTO changed (agent) SELECT agent FROM enrolment WHERE id = NEW.enrolment;
END;

CREATE TRIGGER enrolment_ended BEFORE DELETE ON enrolment
BEGIN
    INSERT INTO changed (agent, label, epoch, peer) SELECT OLD.agent, label, epoch, session_peer FROM state WHERE enrolment = OLD.id
        ON CONFLICT DO UPDATE SET label = excluded.label, epoch = excluded.epoch, peer = excluded.peer;
END;

-- As what others were told of an agent last. It outlives the enrolment, so that who
-- was told of its end is told when the agent is trusted again.
CREATE TABLE told (
    agent     TEXT    PRIMARY KEY,
    trust     TEXT    NOT NULL,
    lost      INTEGER NOT NULL, -- that it lost trust was the last they were told
    until     INTEGER NOT NULL, -- when trust runs out if no evidence comes, as of the last look; never later than it is
    span      INTEGER NOT NULL, -- no trust reaches further ahead
    raised_at INTEGER NOT NULL  -- when the severity rose last
) STRICT, WITHOUT ROWID;

INSERT INTO told SELECT agent, 'pending', 0, 0, 0, coalesce(severity_at, 0) FROM enrolment JOIN state ON enrolment = id;
INSERT INTO changed (agent) SELECT agent FROM enrolment;

-- What others are told of: events, each of which was written with what it is about.
CREATE TABLE event (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT    NOT NULL UNIQUE, -- 32 hexadecimal digits
    kind     TEXT    NOT NULL,
    agent    TEXT    NOT NULL,
    label    TEXT    NOT NULL,
    epoch    BLOB    NOT NULL, -- empty: none
    was      TEXT    NOT NULL, -- trust
    trust    TEXT    NOT NULL,
    failure  TEXT    NOT NULL, -- the gravest, of these the newest; empty: none
    body     BLOB    NOT NULL, -- wire.Failure as JSON; empty: none
    severity TEXT    NOT NULL, -- label; empty: nothing stands
    peer     TEXT    NOT NULL, -- address and port of the last session; empty: none
    at       INTEGER NOT NULL,
    notice   INTEGER UNIQUE    -- its number among the notices to agents; NULL: it is none
) STRICT;

CREATE INDEX event_agent ON event (agent, notice);

-- One row: the number of the newest notice. No number is given twice.
CREATE TABLE notices (last INTEGER NOT NULL) STRICT;
INSERT INTO notices VALUES (0);

-- Events on their way to a webhook. A row goes when its event was delivered.
CREATE TABLE delivery (
    event   INTEGER NOT NULL REFERENCES event ON DELETE CASCADE,
    webhook TEXT    NOT NULL,
    tries   INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL, -- when it is tried next; while a try is under way, when another may begin
    dead_at INTEGER, -- it was given up; NULL: it was not
    problem TEXT    NOT NULL DEFAULT '', -- of the last try
    PRIMARY KEY (webhook, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_event ON delivery (event);
