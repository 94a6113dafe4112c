-- Raw mails lie on the bus, where whoever may write them could exchange one that waits to be sent. The hash of what was accepted
-- binds it to its row. Mails from before have none and go out unchecked: a hash taken later would attest whatever lies there.
ALTER TABLE outbound_mails ADD COLUMN raw_sha256 bytea CHECK (octet_length(raw_sha256) = 32);
