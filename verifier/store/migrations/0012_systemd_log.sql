-- systemd's own log of the boot, as it came last; NULL: none.
ALTER TABLE boot_log ADD COLUMN systemd BLOB;
ALTER TABLE past_boot ADD COLUMN systemd BLOB;
