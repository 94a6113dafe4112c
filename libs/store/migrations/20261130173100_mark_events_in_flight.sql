-- What a dead replica had in flight may be stored in EVENTS, and the server forgets its id after the duplicate window: whoever
-- takes it over looks for it there first.
ALTER TABLE outbox ADD COLUMN may_be_stored boolean NOT NULL DEFAULT false;
