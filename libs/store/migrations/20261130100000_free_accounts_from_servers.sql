-- A protocol may have no server of the account's own to name, and may move mail both ways: only those that are spoken to a server need one, and
-- `direction` is the account's, not its protocol's. `delete_after_days` keeps a received mail on the server for a while before it is deleted.

ALTER TABLE accounts
    DROP CONSTRAINT accounts_protocol_check,
    ADD CONSTRAINT accounts_protocol_check CHECK (protocol IN ('imap', 'pop3', 'smtp')),
    ALTER COLUMN host DROP NOT NULL,
    ALTER COLUMN port DROP NOT NULL,
    ALTER COLUMN encryption DROP NOT NULL,
    ADD CONSTRAINT accounts_server_check CHECK (
        num_nonnulls(host, port, encryption) = 3
        OR (num_nonnulls(host, port, encryption) = 0 AND protocol NOT IN ('imap', 'pop3', 'smtp'))
    ),
    ADD COLUMN delete_after_days integer CHECK (delete_after_days > 0),
    ADD CONSTRAINT accounts_delete_after_days_only_delete CHECK (delete_after_days IS NULL OR after_receive = 'delete');

-- What is not due yet must not be read to find what is.
CREATE INDEX idx_received_mails_due_at ON received_mails (account_id, folder, recorded_at, ordinal)
    WHERE is_post_action_due;
DROP INDEX idx_received_mails_due;
