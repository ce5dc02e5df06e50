-- The newest session in which the agent sent evidence, and from where: a session
-- that goes on from an older one is of a copy of the machine.
ALTER TABLE state ADD COLUMN session INTEGER NOT NULL DEFAULT 0; -- its number; 0: none
ALTER TABLE state ADD COLUMN session_peer TEXT NOT NULL DEFAULT ''; -- address and port

ALTER TABLE state ADD COLUMN list_bytes INTEGER NOT NULL DEFAULT 0; -- length of the epoch's certified list

-- Whoever wants another enrolment ends this one (I06).
CREATE TRIGGER enrolment_is_immutable BEFORE UPDATE ON enrolment
BEGIN
    SELECT RAISE(ABORT, 'an enrolment is immutable');
END;

-- What was cleared is known by each failure that was.
ALTER TABLE state DROP COLUMN cleared_entries;
