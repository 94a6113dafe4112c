-- Who may do what in the database: one role per service, beside the one that migrates and owns the tables.
-- Applied by `mailmesh migrate` after each migration, and by `mailmesh up`; running it again changes nothing.
--
-- The roles are the same for all databases of a cluster. They cannot log in: a login is made by ALTER ROLE … LOGIN PASSWORD
-- (`mailmesh migrate --passwords` and `mailmesh up` do), or is a role of its own to which the service's is granted.
-- FOR UPDATE needs the right to update one column at least; foreign keys and cascades run with the owner's rights.

-- Two that migrate at once would update the same catalogue rows.
SELECT pg_advisory_xact_lock(hashtext('mailmesh grants'));

DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['mailmesh_admin', 'mailmesh_auth_callback', 'mailmesh_token_refresh',
                                   'mailmesh_inbound_fetcher', 'mailmesh_outbound_sender'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', service);
            EXCEPTION
                -- Another database of the cluster was quicker.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
END
$$;

-- Grants a right on all columns of a table but some: those that are sealed, and added by later releases too.
CREATE OR REPLACE FUNCTION pg_temp.grant_columns(privilege text, on_table text, to_role text, hidden text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ') INTO names FROM pg_attribute
    WHERE attrelid = on_table::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL (hidden);
    EXECUTE format('GRANT %s (%s) ON %s TO %I', privilege, names, on_table, to_role);
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM mailmesh_admin, mailmesh_auth_callback, mailmesh_token_refresh,
    mailmesh_inbound_fetcher, mailmesh_outbound_sender;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO mailmesh_admin, mailmesh_auth_callback, mailmesh_token_refresh,
    mailmesh_inbound_fetcher, mailmesh_outbound_sender;

-- Every service: whether the database is migrated, its own heartbeat, its events on their way to the bus.
GRANT SELECT ON _sqlx_migrations TO mailmesh_admin, mailmesh_auth_callback, mailmesh_token_refresh,
    mailmesh_inbound_fetcher, mailmesh_outbound_sender;
GRANT SELECT, INSERT, UPDATE, DELETE ON replicas, outbox TO mailmesh_admin, mailmesh_auth_callback,
    mailmesh_token_refresh, mailmesh_inbound_fetcher, mailmesh_outbound_sender;

-- admin: what operators set up and decide. It stores secrets sealed, and reads none: it has no key to open them.
GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO mailmesh_admin;
GRANT INSERT, UPDATE, DELETE ON client_configurations, accounts TO mailmesh_admin;
SELECT pg_temp.grant_columns('SELECT', 'client_configurations', 'mailmesh_admin',
                             ARRAY['client_secret_sealed', 'private_key_sealed']);
SELECT pg_temp.grant_columns('SELECT', 'accounts', 'mailmesh_admin', ARRAY['password_sealed']);
GRANT SELECT, INSERT, UPDATE ON account_status TO mailmesh_admin;
GRANT SELECT, INSERT ON account_leases TO mailmesh_admin;
GRANT INSERT, DELETE ON sign_ins TO mailmesh_admin;
SELECT pg_temp.grant_columns('SELECT', 'sign_ins', 'mailmesh_admin', ARRAY['verifier_sealed', 'nonce']);
GRANT DELETE ON grants TO mailmesh_admin;
SELECT pg_temp.grant_columns(privilege, 'grants', 'mailmesh_admin', ARRAY['access_token_sealed', 'refresh_token_sealed'])
FROM unnest(ARRAY['SELECT', 'UPDATE']) AS privilege;
GRANT SELECT, UPDATE ON mailbox_cursors TO mailmesh_admin;
-- Deleting an account removes the first part of its mails at once.
GRANT SELECT, UPDATE, DELETE ON listed_mails, received_mails, quarantined_mails, outbound_mails TO mailmesh_admin;
GRANT SELECT, UPDATE ON send_attempts TO mailmesh_admin;
-- A queued mail is shown with what its account waits for.
GRANT SELECT ON outbound_blocks TO mailmesh_admin;

-- auth-callback, on the public internet: sign-ins and the grants they give. It reads no mailbox's password, no mail, no API key.
SELECT pg_temp.grant_columns('SELECT', 'accounts', 'mailmesh_auth_callback', ARRAY['password_sealed']);
GRANT UPDATE (grant_id, revision, connection_revision, updated_at) ON accounts TO mailmesh_auth_callback;
-- It tries the account at its mail server, and records that it works.
GRANT SELECT, UPDATE (proved_at, proved_revision) ON account_status TO mailmesh_auth_callback;
GRANT SELECT ON client_configurations TO mailmesh_auth_callback;
GRANT UPDATE (token_origin) ON client_configurations TO mailmesh_auth_callback;
GRANT SELECT, UPDATE ON sign_ins TO mailmesh_auth_callback;
GRANT SELECT, INSERT, UPDATE, DELETE ON grants TO mailmesh_auth_callback;
-- Of clients and grants it sees those with which people sign in: what an application proves itself with opens mailboxes without
-- their owners. Made once, as CREATE POLICY locks the table; one that is to be changed gets another name.
DO $$
DECLARE
    narrowed text;
BEGIN
    FOREACH narrowed IN ARRAY ARRAY['client_configurations', 'grants'] LOOP
        IF NOT EXISTS (SELECT FROM pg_policy
                       WHERE polrelid = narrowed::regclass AND polname = 'auth_callback_of_people') THEN
            EXECUTE format('CREATE POLICY auth_callback_of_people ON %I AS RESTRICTIVE TO mailmesh_auth_callback
                            USING (flow = ''user'')', narrowed);
        END IF;
    END LOOP;
END
$$;

-- token-refresh: grants, and why a client is refused.
SELECT pg_temp.grant_columns('SELECT', 'accounts', 'mailmesh_token_refresh', ARRAY['password_sealed']);
GRANT SELECT ON client_configurations TO mailmesh_token_refresh;
GRANT UPDATE (refusal, token_origin) ON client_configurations TO mailmesh_token_refresh;
GRANT SELECT, INSERT, UPDATE ON grants TO mailmesh_token_refresh;
-- It starts the grants of accounts whose client needs no person.
GRANT UPDATE (grant_id, revision, connection_revision, updated_at) ON accounts TO mailmesh_token_refresh;

-- Both that hold accounts: their leases and state, and the tokens and passwords that they sign in with.
GRANT SELECT ON accounts, grants, mailbox_cursors TO mailmesh_inbound_fetcher, mailmesh_outbound_sender;
GRANT SELECT, UPDATE ON account_status, account_leases TO mailmesh_inbound_fetcher, mailmesh_outbound_sender;

-- inbound-fetcher: what was received, and how far.
GRANT SELECT, INSERT, UPDATE, DELETE ON mailbox_cursors, received_mails, quarantined_mails, listed_mails
    TO mailmesh_inbound_fetcher;
GRANT SELECT ON event_proofs TO mailmesh_inbound_fetcher;

-- outbound-sender: what is to be sent, and what became of it.
GRANT SELECT, INSERT, UPDATE, DELETE ON outbound_mails, send_attempts, outbound_cancels, outbound_blocks TO mailmesh_outbound_sender;
-- It removes what is left of deleted accounts.
GRANT DELETE, UPDATE (deleted_at) ON accounts TO mailmesh_outbound_sender;
GRANT SELECT, DELETE ON received_mails, listed_mails, quarantined_mails TO mailmesh_outbound_sender;
