-- The first shape of the mesh's shared memory. Secrets are sealed before they come here; states
-- are text with a CHECK, beside an enum in the domain; moments end in `_at`.

CREATE TABLE client_configurations (
    client_configuration_id uuid PRIMARY KEY,
    key text NOT NULL UNIQUE,
    name text NOT NULL,
    profile text NOT NULL,
    client_id text NOT NULL,
    client_secret_sealed bytea,
    token_endpoint_auth text CHECK (token_endpoint_auth IN ('client_secret_basic', 'client_secret_post', 'none')),
    issuer text,
    authorize_url text,
    token_url text,
    userinfo_url text,
    jwks_url text,
    revocation_url text,
    scopes text[] NOT NULL,
    identity_claim text,
    extra_authorize_parameters jsonb NOT NULL DEFAULT '{}',
    ca_pem text,
    is_inbound boolean NOT NULL,
    is_outbound boolean NOT NULL,
    refusal jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- One consent: (client configuration, subject). Shared by every account of that mailbox.
CREATE TABLE grants (
    grant_id uuid PRIMARY KEY,
    client_configuration_id uuid NOT NULL REFERENCES client_configurations ON DELETE CASCADE,
    subject text NOT NULL,
    address text,
    scopes text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'sign_in_required', 'suspended')),
    problem jsonb,
    access_token_sealed bytea NOT NULL,
    refresh_token_sealed bytea,
    generation bigint NOT NULL,
    access_expires_at timestamptz NOT NULL,
    refresh_due_at timestamptz NOT NULL,
    refresh_expires_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    claimed_by uuid,
    claim_expires_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (client_configuration_id, subject)
);
CREATE INDEX idx_grants_refresh_due_at ON grants (refresh_due_at) WHERE state <> 'sign_in_required';

CREATE TABLE accounts (
    account_id uuid PRIMARY KEY,
    key text NOT NULL UNIQUE,
    name text NOT NULL,
    is_enabled boolean NOT NULL,
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    protocol text NOT NULL CHECK (protocol IN ('imap', 'smtp')),
    host text NOT NULL,
    port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    encryption text NOT NULL CHECK (encryption IN ('tls', 'starttls', 'none')),
    authorisation text NOT NULL CHECK (authorisation IN ('oauth2', 'password', 'none')),
    login text NOT NULL,
    password_sealed bytea,
    client_configuration_id uuid REFERENCES client_configurations ON DELETE RESTRICT,
    grant_id uuid REFERENCES grants ON DELETE SET NULL,
    from_addresses text[] NOT NULL,
    folders text[] NOT NULL,
    receive_existing boolean NOT NULL,
    poll_interval_seconds integer NOT NULL CHECK (poll_interval_seconds > 0),
    after_receive text NOT NULL CHECK (after_receive IN ('keep', 'mark_seen', 'move', 'delete')),
    move_to text,
    max_connections integer NOT NULL CHECK (max_connections > 0),
    ca_pem text,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX idx_accounts_client_configuration_id ON accounts (client_configuration_id);
CREATE INDEX idx_accounts_grant_id ON accounts (grant_id);

-- What the service that runs an account knows of it, apart from what an operator sets: another
-- writer, another table. `event_sequence` is the last EVENTS sequence whose mail is recorded.
CREATE TABLE account_status (
    account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('sign_in_needed', 'active', 'sign_in_required', 'failing')),
    problem jsonb,
    changed_at timestamptz NOT NULL,
    proved_at timestamptz,
    event_sequence bigint NOT NULL DEFAULT 0
);

-- Who tries. Correctness never rests on this table: the stream's fence and the attempt rows do.
CREATE TABLE account_leases (
    account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    replica_id uuid,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX idx_account_leases_replica_id ON account_leases (replica_id);

CREATE TABLE replicas (
    replica_id uuid PRIMARY KEY,
    service text NOT NULL,
    seen_at timestamptz NOT NULL
);

CREATE TABLE sign_ins (
    sign_in_id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    link_hash bytea NOT NULL UNIQUE,
    state_hash bytea UNIQUE,
    browser_hash bytea,
    nonce text,
    verifier_sealed bytea,
    expires_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX idx_sign_ins_expires_at ON sign_ins (expires_at);

CREATE TABLE mailbox_cursors (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    folder text NOT NULL,
    uid_validity bigint NOT NULL,
    last_uid bigint NOT NULL,
    activated_at timestamptz NOT NULL,
    -- Set while a renumbered folder is read again: up to this UID fingerprints tell seen from new.
    rescan_until_uid bigint,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, folder)
);

-- One row a mail, also its fingerprint after a renumbering.
CREATE TABLE received_mails (
    mail_id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    folder text NOT NULL,
    uid_validity bigint NOT NULL,
    uid bigint NOT NULL,
    sha256 bytea NOT NULL,
    size_bytes bigint NOT NULL,
    chunks integer NOT NULL,
    is_post_action_due boolean NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX idx_received_mails_account_id_sha256 ON received_mails (account_id, sha256);
CREATE INDEX idx_received_mails_post_action ON received_mails (account_id) WHERE is_post_action_due;

CREATE TABLE quarantined_mails (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    folder text NOT NULL,
    uid_validity bigint NOT NULL,
    uid bigint NOT NULL,
    attempts integer NOT NULL,
    problem jsonb NOT NULL,
    quarantined_at timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, folder, uid_validity, uid)
);

CREATE TABLE outbound_mails (
    mail_id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    idempotency_key text NOT NULL,
    is_key_given boolean NOT NULL,
    content_sha256 bytea NOT NULL,
    message_id text NOT NULL,
    envelope_from text NOT NULL,
    recipients jsonb NOT NULL,
    size_bytes bigint NOT NULL,
    chunks integer NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'failed', 'uncertain', 'cancelled')),
    -- `attempts` numbers the rows of send_attempts; `failures` are those that count on the schedule.
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    on_uncertain text NOT NULL CHECK (on_uncertain IN ('hold', 'resend', 'assume_sent')),
    claimed_by uuid,
    problem jsonb,
    reply text,
    trace_parent text,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    UNIQUE (account_id, idempotency_key)
);
CREATE INDEX idx_outbound_mails_due ON outbound_mails (account_id, due_at, mail_id) WHERE state = 'queued';
CREATE INDEX idx_outbound_mails_open ON outbound_mails (account_id) WHERE state IN ('sending', 'uncertain');
CREATE INDEX idx_outbound_mails_finished_at ON outbound_mails (finished_at) WHERE finished_at IS NOT NULL;

-- Each attempt, with the stage it was about to enter, written before it did.
CREATE TABLE send_attempts (
    mail_id uuid NOT NULL REFERENCES outbound_mails ON DELETE CASCADE,
    attempt integer NOT NULL,
    replica_id uuid NOT NULL,
    stage text NOT NULL CHECK (stage IN ('started', 'final_dot', 'finished')),
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text,
    PRIMARY KEY (mail_id, attempt)
);

-- Events of committed changes, on their way to the bus. Each replica relays its own rows; those
-- of a dead one are adopted.
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    replica_id uuid NOT NULL,
    subject text NOT NULL,
    event_id text NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX idx_outbox_replica_id ON outbox (replica_id, outbox_id);

CREATE TABLE api_keys (
    api_key_id uuid PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('administrator', 'modeller', 'viewer')),
    key_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
