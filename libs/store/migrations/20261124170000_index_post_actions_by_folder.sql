-- Post-actions are taken folder by folder: those that are stuck in one must not hide another's.
CREATE INDEX idx_received_mails_due ON received_mails (account_id, folder, uid)
    WHERE is_post_action_due;
DROP INDEX idx_received_mails_account_id_uid;
