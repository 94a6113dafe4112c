-- Bodies of sent mails are deleted long before their rows, so that the store of raw mails has room;
-- `chunks = 0` says that it was done. Without this index each look would read all of the rows again.
CREATE INDEX idx_outbound_mails_sent_bodies ON outbound_mails (finished_at)
    WHERE state IN ('sent', 'cancelled') AND chunks > 0;
