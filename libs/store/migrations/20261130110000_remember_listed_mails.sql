-- POP3 has no number after which mail is new: a look lists the whole mailbox, so what was seen is kept as a set. A server may use an id again, give it
-- to two mails, or number all mails anew (RFC 1939 §7 forbids only the first, and only while the mail is there), so a row is an id and the fingerprint.

CREATE TABLE listed_mails (
    listed_mail_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    folder text NOT NULL,
    -- Compared by bytes, as the protocol does and as listings are cut into chunks. Empty: the server gives no ids.
    position text COLLATE "C" NOT NULL,
    -- Null for mails that are passed over: they were there before the account was, or were set aside unread.
    sha256 bytea,
    mail_id uuid,
    listed_bytes bigint,
    -- How many mails with this content the server lists under this id at once.
    copies bigint NOT NULL DEFAULT 1 CHECK (copies > 0),
    first_seen_at timestamptz NOT NULL,
    -- A server may list a part of the mailbox only: a row outlives its mail by a month.
    absent_since timestamptz,
    UNIQUE NULLS NOT DISTINCT (account_id, folder, position, sha256)
);
CREATE INDEX idx_listed_mails_account_id_sha256 ON listed_mails (account_id, sha256);
CREATE INDEX idx_listed_mails_absent ON listed_mails (account_id, folder) WHERE absent_since IS NOT NULL;
CREATE INDEX idx_listed_mails_absent_since ON listed_mails (absent_since) WHERE absent_since IS NOT NULL;
