-- A page of an account's mails, or of those in a rare state, must not walk through the mails of all accounts and states.
CREATE INDEX idx_outbound_mails_account_id_mail_id ON outbound_mails (account_id, mail_id);
CREATE INDEX idx_outbound_mails_state_mail_id ON outbound_mails (state, mail_id)
    WHERE state IN ('failed', 'uncertain', 'cancelled');
CREATE INDEX idx_outbound_mails_account_id_state_mail_id ON outbound_mails (account_id, state, mail_id)
    WHERE state IN ('failed', 'uncertain', 'cancelled');
