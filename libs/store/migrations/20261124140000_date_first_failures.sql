-- A mail that fails alone in its folder has no other to be compared with: only time tells a mail
-- that cannot be read from a server that cannot read any.
ALTER TABLE quarantined_mails ADD COLUMN first_failed_at timestamptz NOT NULL DEFAULT now();
