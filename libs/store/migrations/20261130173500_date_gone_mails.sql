-- A mail that was moved or deleted on its server after it was received is not seen again, apart from a restored backup: its row
-- goes after a year. A mail that stays keeps its row, as only its hash tells it from a new one once the server numbers anew.
ALTER TABLE received_mails ADD COLUMN gone_at timestamptz;
CREATE INDEX idx_received_mails_gone_at ON received_mails (gone_at) WHERE gone_at IS NOT NULL;
