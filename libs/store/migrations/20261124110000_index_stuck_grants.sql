-- Grants that cannot be refreshed are few; they are counted and resumed every few seconds, which
-- must not read the many that can.
CREATE INDEX idx_grants_state ON grants (state) WHERE state <> 'active';
