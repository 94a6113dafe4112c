-- What keeps all accounts of a replica from being worked on (NATS does not answer, a stream is full) is told once, by the
-- replica, and not by each account.
ALTER TABLE replicas ADD COLUMN problem jsonb;
