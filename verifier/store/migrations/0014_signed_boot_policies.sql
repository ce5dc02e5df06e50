-- As of policies: see 0006_signed_policies.sql.
ALTER TABLE boot_policy ADD COLUMN envelope BLOB;
ALTER TABLE boot_policy ADD COLUMN signers TEXT NOT NULL DEFAULT '[]';
