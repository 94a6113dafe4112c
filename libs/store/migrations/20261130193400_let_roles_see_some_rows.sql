-- Rights are given table by table and column by column; which rows a role sees, a policy of its own may narrow (grants.sql).
-- Whoever has no such policy sees all, and so does the owner.
ALTER TABLE client_configurations ENABLE ROW LEVEL SECURITY;
ALTER TABLE grants ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON client_configurations USING (true);
CREATE POLICY all_rows ON grants USING (true);
