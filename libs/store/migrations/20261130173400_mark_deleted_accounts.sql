-- Deleting an account with a long history took longer than a statement may: it is marked, and what belongs to it is removed in
-- parts. Whoever reads accounts leaves marked ones out.
ALTER TABLE accounts ADD COLUMN deleted_at timestamptz;
CREATE INDEX idx_accounts_deleted_at ON accounts (deleted_at) WHERE deleted_at IS NOT NULL;
