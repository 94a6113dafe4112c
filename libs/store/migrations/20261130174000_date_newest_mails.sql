-- The newest mail of a folder that was read: what a server shows in its place tells whether its numbering went back, as after a restore from
-- a backup. Null until a mail is received; the hash is null where the mail was there before the folder was watched.
ALTER TABLE mailbox_cursors
    ADD COLUMN newest_ordinal bigint,
    ADD COLUMN newest_received_at timestamptz,
    ADD COLUMN newest_sha256 bytea;
