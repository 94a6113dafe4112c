-- Replaced by the index by client configuration. While it is there, the planner takes it and reads what is due at all other
-- clients.
DROP INDEX idx_grants_refresh_due_at;
