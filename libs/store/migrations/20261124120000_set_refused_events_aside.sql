-- One event that the bus will never take, such as one beyond its largest message, must not keep
-- all events behind it.
ALTER TABLE outbox ADD COLUMN refused_at timestamptz;
