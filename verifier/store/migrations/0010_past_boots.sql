-- The last past boots of an enrolment that had failures when they ended: what judges
-- them again.
CREATE TABLE past_boot (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    epoch     BLOB    NOT NULL,
    log       BLOB    NOT NULL,
    evidence  BLOB    NOT NULL,
    UNIQUE (enrolment, epoch)
) STRICT;
