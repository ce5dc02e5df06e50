-- The text of a policy fills up to 130,000 pages, each of which has the number of the
-- next, and whoever reads a column behind it goes through all of them: every status
-- did, of every machine. So texts and envelopes are the last columns.
ALTER TABLE policy ADD COLUMN last_text BLOB NOT NULL DEFAULT x'';
ALTER TABLE policy ADD COLUMN last_envelope BLOB; -- DSSE, whose payload is text; NULL: not signed
UPDATE policy SET last_text = text, text = x'';
UPDATE policy SET last_envelope = envelope, envelope = NULL;
ALTER TABLE policy DROP COLUMN text;
ALTER TABLE policy DROP COLUMN envelope;
ALTER TABLE policy RENAME COLUMN last_text TO text;
ALTER TABLE policy RENAME COLUMN last_envelope TO envelope;

ALTER TABLE boot_policy ADD COLUMN last_text BLOB NOT NULL DEFAULT x'';
ALTER TABLE boot_policy ADD COLUMN last_envelope BLOB;
UPDATE boot_policy SET last_text = text, text = x'';
UPDATE boot_policy SET last_envelope = envelope, envelope = NULL;
ALTER TABLE boot_policy DROP COLUMN text;
ALTER TABLE boot_policy DROP COLUMN envelope;
ALTER TABLE boot_policy RENAME COLUMN last_text TO text;
ALTER TABLE boot_policy RENAME COLUMN last_envelope TO envelope;
