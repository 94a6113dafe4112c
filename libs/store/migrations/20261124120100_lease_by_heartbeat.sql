-- A lease now lasts as long as its replica's heart beats. Extending each lease by itself wrote a
-- row per account every two seconds, idle or not.
ALTER TABLE account_leases DROP COLUMN expires_at;

-- Asked by every replica every two seconds.
CREATE INDEX idx_accounts_direction ON accounts (direction) WHERE is_enabled;

-- A mailbox whose post-actions lag behind has many due; they are taken in the order of UIDs.
CREATE INDEX idx_received_mails_account_id_uid ON received_mails (account_id, uid)
    WHERE is_post_action_due;
DROP INDEX idx_received_mails_post_action;

-- Failed mails are few among the finished, and are what an operator looks for.
CREATE INDEX idx_outbound_mails_failed ON outbound_mails (mail_id) WHERE state = 'failed';
