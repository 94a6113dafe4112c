-- An account's state and proof say something of the settings only that they were seen with. The account keeps the revision
-- of the last change to what decides whether its server lets it in; state and proof keep the revision that they were seen
-- under. What is older is shown as not known: a problem that was corrected, a proof of another host.
ALTER TABLE accounts ADD COLUMN connection_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE account_status
    ADD COLUMN state_revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN proved_revision bigint NOT NULL DEFAULT 0;
