-- What of them is carried over, a program does; see carryOver.
ALTER TABLE entry RENAME TO old_entry;
ALTER TABLE segment RENAME TO old_segment;

-- Entries of measurement lists, each stored once for the whole fleet, in blocks
-- of entries whose numbers follow one another from first on.
CREATE TABLE block (
    first    INTEGER PRIMARY KEY,
    count    INTEGER NOT NULL,
    live     INTEGER NOT NULL, -- of count; the others were collected
    added_at INTEGER NOT NULL,
    bytes    BLOB    NOT NULL
) STRICT;

-- Which entries may have a content, a path or a file digest, by 48 bits of a hash.
CREATE TABLE entry_index (
    hash  INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (hash, entry)
) STRICT, WITHOUT ROWID;

-- One row. No number is given twice, so that whoever remembers one of an entry
-- that was collected never gets another entry.
CREATE TABLE numbering (
    next       INTEGER NOT NULL, -- number of the next entry
    generation INTEGER NOT NULL  -- how often entries were collected
) STRICT;
INSERT INTO numbering VALUES (1, 0);

-- The certified lists of an enrolment, one for each of its last epochs.
CREATE TABLE list (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    enrolment INTEGER NOT NULL REFERENCES enrolment ON DELETE CASCADE,
    epoch     BLOB    NOT NULL,
    ended_at  INTEGER, -- NULL: the epoch in force
    UNIQUE (enrolment, epoch)
) STRICT;

-- Which entries one evidence added to a list, in order. Ids only grow, so that
-- what came after a moment is known.
CREATE TABLE segment (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    list         INTEGER NOT NULL REFERENCES list ON DELETE CASCADE,
    first        INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    entries      BLOB    NOT NULL, -- see appendSequence
    UNIQUE (list, first)
) STRICT;
