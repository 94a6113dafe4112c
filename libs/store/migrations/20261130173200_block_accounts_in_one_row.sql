-- An account that cannot send is one row, not a rewrite of its queue: putting off 100,000 mails, 500 a statement, took longer
-- than they were put off for, and never ended. `told_due_at`, `told_mail_id`: up to there in the queue `mail.deferred` was
-- published for `reason`, which is empty for what passes by itself.
CREATE TABLE outbound_blocks (
    account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    blocked_until timestamptz,
    problem jsonb NOT NULL,
    reason text NOT NULL,
    told_due_at timestamptz,
    told_mail_id uuid
);

-- What was put off before waits with its account from now on. The column stays for processes of the release before.
UPDATE outbound_mails SET due_at = least(due_at, now()), is_parked = false
WHERE state = 'queued' AND is_parked;
