-- A policy that somebody signed is kept with its envelope, so that it can be verified
-- again.
ALTER TABLE policy ADD COLUMN envelope BLOB; -- DSSE, whose payload is text; NULL: not signed
ALTER TABLE policy ADD COLUMN signers TEXT NOT NULL DEFAULT '[]'; -- JSON array: who signed, as verified at updated_at
