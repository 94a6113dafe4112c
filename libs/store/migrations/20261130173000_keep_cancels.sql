-- A cancel that was acknowledged is obeyed or told why not, also when its mail comes after it or is being sent: it is kept
-- until then, and a mail that it names is not claimed meanwhile. What comes before what is told by the commands' sequences.
ALTER TABLE outbound_mails ADD COLUMN stream_sequence bigint;

CREATE TABLE outbound_cancels (
    event_id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    stream_sequence bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    mail_id uuid,
    idempotency_key text,
    looked_at timestamptz NOT NULL,
    CHECK (mail_id IS NOT NULL OR idempotency_key IS NOT NULL)
);
CREATE INDEX idx_outbound_cancels_mail_id ON outbound_cancels (account_id, mail_id);
CREATE INDEX idx_outbound_cancels_key ON outbound_cancels (account_id, idempotency_key) WHERE mail_id IS NULL;
CREATE INDEX idx_outbound_cancels_looked_at ON outbound_cancels (looked_at);
