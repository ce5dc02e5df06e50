-- Whether a policy has nothing to evaluate (I21).
ALTER TABLE policy ADD COLUMN empty INTEGER NOT NULL DEFAULT 0;
UPDATE policy SET empty = paths = 0 AND excludes = 0;

ALTER TABLE state ADD COLUMN padded INTEGER NOT NULL DEFAULT 0; -- the bank is extended with padded SHA-1
ALTER TABLE state ADD COLUMN learned BLOB; -- from the epoch's entries, see appraise.Learned
