SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
CREATE TABLE public.account_leases (
    account_id uuid NOT NULL,
    replica_id uuid
);
CREATE TABLE public.account_status (
    account_id uuid NOT NULL,
    state text NOT NULL,
    problem jsonb,
    changed_at timestamp with time zone NOT NULL,
    proved_at timestamp with time zone,
    event_sequence bigint DEFAULT 0 NOT NULL,
    CONSTRAINT account_status_state_check CHECK ((state = ANY (ARRAY['sign_in_needed'::text, 'active'::text, 'sign_in_required'::text, 'failing'::text])))
);
CREATE TABLE public.accounts (
    account_id uuid NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    is_enabled boolean NOT NULL,
    direction text NOT NULL,
    protocol text NOT NULL,
    host text NOT NULL,
    port integer NOT NULL,
    encryption text NOT NULL,
    authorisation text NOT NULL,
    login text NOT NULL,
    password_sealed bytea,
    client_configuration_id uuid,
    grant_id uuid,
    from_addresses text[] NOT NULL,
    folders text[] NOT NULL,
    receive_existing boolean NOT NULL,
    poll_interval_seconds integer NOT NULL,
    after_receive text NOT NULL,
    move_to text,
    max_connections integer NOT NULL,
    ca_pem text,
    revision bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT accounts_after_receive_check CHECK ((after_receive = ANY (ARRAY['keep'::text, 'mark_seen'::text, 'move'::text, 'delete'::text]))),
    CONSTRAINT accounts_authorisation_check CHECK ((authorisation = ANY (ARRAY['oauth2'::text, 'password'::text, 'none'::text]))),
    CONSTRAINT accounts_direction_check CHECK ((direction = ANY (ARRAY['inbound'::text, 'outbound'::text]))),
    CONSTRAINT accounts_encryption_check CHECK ((encryption = ANY (ARRAY['tls'::text, 'starttls'::text, 'none'::text]))),
    CONSTRAINT accounts_max_connections_check CHECK ((max_connections > 0)),
    CONSTRAINT accounts_poll_interval_seconds_check CHECK ((poll_interval_seconds > 0)),
    CONSTRAINT accounts_port_check CHECK (((port >= 1) AND (port <= 65535))),
    CONSTRAINT accounts_protocol_check CHECK ((protocol = ANY (ARRAY['imap'::text, 'smtp'::text])))
);
CREATE TABLE public.api_keys (
    api_key_id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    key_hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_role_check CHECK ((role = ANY (ARRAY['administrator'::text, 'modeller'::text, 'viewer'::text])))
);
CREATE TABLE public.client_configurations (
    client_configuration_id uuid NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    profile text NOT NULL,
    client_id text NOT NULL,
    client_secret_sealed bytea,
    token_endpoint_auth text,
    issuer text,
    authorize_url text,
    token_url text,
    userinfo_url text,
    jwks_url text,
    scopes text[] NOT NULL,
    identity_claim text,
    extra_authorize_parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    ca_pem text,
    is_inbound boolean NOT NULL,
    is_outbound boolean NOT NULL,
    refusal jsonb,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT client_configurations_token_endpoint_auth_check CHECK ((token_endpoint_auth = ANY (ARRAY['client_secret_basic'::text, 'client_secret_post'::text, 'none'::text])))
);
CREATE TABLE public.grants (
    grant_id uuid NOT NULL,
    client_configuration_id uuid NOT NULL,
    subject text NOT NULL,
    address text,
    scopes text[] NOT NULL,
    state text NOT NULL,
    problem jsonb,
    access_token_sealed bytea NOT NULL,
    refresh_token_sealed bytea,
    generation bigint NOT NULL,
    access_expires_at timestamp with time zone NOT NULL,
    refresh_due_at timestamp with time zone NOT NULL,
    refresh_expires_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    claimed_by uuid,
    claim_expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    refresh_asked_at timestamp with time zone,
    CONSTRAINT grants_state_check CHECK ((state = ANY (ARRAY['active'::text, 'sign_in_required'::text, 'suspended'::text])))
);
CREATE TABLE public.mailbox_cursors (
    account_id uuid NOT NULL,
    folder text NOT NULL,
    uid_validity bigint NOT NULL,
    last_uid bigint NOT NULL,
    activated_at timestamp with time zone NOT NULL,
    rescan_until_uid bigint,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.outbound_mails (
    mail_id uuid NOT NULL,
    account_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    is_key_given boolean NOT NULL,
    content_sha256 bytea NOT NULL,
    message_id text NOT NULL,
    envelope_from text NOT NULL,
    recipients jsonb NOT NULL,
    size_bytes bigint NOT NULL,
    chunks integer NOT NULL,
    state text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL,
    on_uncertain text NOT NULL,
    claimed_by uuid,
    problem jsonb,
    reply text,
    trace_parent text,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    is_parked boolean DEFAULT false NOT NULL,
    CONSTRAINT outbound_mails_on_uncertain_check CHECK ((on_uncertain = ANY (ARRAY['hold'::text, 'resend'::text, 'assume_sent'::text]))),
    CONSTRAINT outbound_mails_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'uncertain'::text, 'cancelled'::text])))
);
CREATE TABLE public.outbox (
    outbox_id bigint NOT NULL,
    replica_id uuid NOT NULL,
    subject text NOT NULL,
    event_id text NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    refused_at timestamp with time zone
);
ALTER TABLE public.outbox ALTER COLUMN outbox_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.quarantined_mails (
    account_id uuid NOT NULL,
    folder text NOT NULL,
    uid_validity bigint NOT NULL,
    uid bigint NOT NULL,
    attempts integer NOT NULL,
    problem jsonb NOT NULL,
    quarantined_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    first_failed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.received_mails (
    mail_id uuid NOT NULL,
    account_id uuid NOT NULL,
    folder text NOT NULL,
    uid_validity bigint NOT NULL,
    uid bigint NOT NULL,
    sha256 bytea NOT NULL,
    size_bytes bigint NOT NULL,
    chunks integer NOT NULL,
    is_post_action_due boolean NOT NULL,
    recorded_at timestamp with time zone NOT NULL
);
CREATE TABLE public.replicas (
    replica_id uuid NOT NULL,
    service text NOT NULL,
    seen_at timestamp with time zone NOT NULL
);
CREATE TABLE public.send_attempts (
    mail_id uuid NOT NULL,
    attempt integer NOT NULL,
    replica_id uuid NOT NULL,
    stage text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    outcome text,
    final_dot_at timestamp with time zone,
    CONSTRAINT send_attempts_stage_check CHECK ((stage = ANY (ARRAY['started'::text, 'final_dot'::text, 'finished'::text])))
);
CREATE TABLE public.sign_ins (
    sign_in_id uuid NOT NULL,
    account_id uuid NOT NULL,
    link_hash bytea NOT NULL,
    state_hash bytea,
    browser_hash bytea,
    nonce text,
    verifier_sealed bytea,
    expires_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    client_configuration_id uuid,
    client_updated_at timestamp with time zone
);
INSERT INTO public._sqlx_migrations VALUES (20261124090000, 'create tables', '2026-11-30 14:23:01.79085+00', true, '\xf76d79ecaf315e845e8a0f1a066736487571d9aff0175c6153588a20932b7c6fea08973cbeefbc0a67724785050b1de5', 95085752);
INSERT INTO public._sqlx_migrations VALUES (20261124110000, 'index stuck grants', '2026-11-30 14:23:01.88962+00', true, '\xef5ffcb08fea93f24348b139ebaca9690ae96070d98e9a9cc0cc0ea25abc9a676727fcc6eb33a38a7b60b4c1130283c3', 3951516);
INSERT INTO public._sqlx_migrations VALUES (20261124120000, 'set refused events aside', '2026-11-30 14:23:01.901804+00', true, '\x24eae7378e02e59ac4662bc765775749635fc8c63bae4ae00f13cb6ee29ec4c5a0f00b726543e30d7116ec9623f6cd30', 7591448);
INSERT INTO public._sqlx_migrations VALUES (20261124120100, 'lease by heartbeat', '2026-11-30 14:23:01.910522+00', true, '\xf5015b37967f15df8f9cd7ce4148fa825edf40d780456e630cd9c5170a01bd9da006e9116e850059147c478f9b15dd85', 15278960);
INSERT INTO public._sqlx_migrations VALUES (20261124130000, 'note asked refreshes', '2026-11-30 14:23:01.92896+00', true, '\xbf80bad59e173b0b1b537f0dc19f03db34da62669de86963668fea6122e0ae78451d4c8517f6193a82dc6af556f5652b', 4628277);
INSERT INTO public._sqlx_migrations VALUES (20261124140000, 'date first failures', '2026-11-30 14:23:01.94167+00', true, '\xc31c344e30318f4a43acde1adb8721447c9722d165df272fe918c13e7491354c8e071de2c332711c89f826eb5e0cc9ef', 8133247);
INSERT INTO public._sqlx_migrations VALUES (20261124150000, 'date final dots', '2026-11-30 14:23:01.95061+00', true, '\xdba35b1fbb980eb2cb8a22858e5251b8636d46ad5ce6c6234d007a48854db9370ea437877e4ff445728e1be25fc4f277', 8843997);
INSERT INTO public._sqlx_migrations VALUES (20261124160000, 'bind sign ins to clients', '2026-11-30 14:23:01.969696+00', true, '\x4a31de5cdf503665ec302f0438dc650dc1cbf483107abeea870de3b079d56f793dafe7541468f6ba397a40b8d8c0435b', 3943885);
INSERT INTO public._sqlx_migrations VALUES (20261124170000, 'index post actions by folder', '2026-11-30 14:23:01.974792+00', true, '\x6a26fe5a16d7d462d5dd1c85446ca5904eb856f73b9f438505f94394cc0d75b516a67ce4b5776333ec9ae80e7931111c', 2838456);
INSERT INTO public._sqlx_migrations VALUES (20261124190000, 'index sent bodies', '2026-11-30 14:23:01.981857+00', true, '\xe322ff06e089b44ba5d47774d705052d38f88ae0568a3d294ace32ddbebfd89f956a42b7541c96f456779345ad6cf21b', 7800541);
INSERT INTO public._sqlx_migrations VALUES (20261124200000, 'mark parked mails', '2026-11-30 14:23:01.996051+00', true, '\x5e20b16d80c90c652257ee33e5835c3df955007ba50823e2d2471e4ba12d1fc22882d0037d11faa38bca08073f21d5af', 1873326);
INSERT INTO public._sqlx_migrations VALUES (20261124210000, 'drop revocation url', '2026-11-30 14:23:02.009376+00', true, '\xb908e63cf6e77cc31aa4de6bac8ec3afb1f87b3e32af3e9499fcd09e735ec2530ac53d094f52f44d4f52c04eebfe728c', 8327026);
INSERT INTO public.account_leases VALUES ('01a22cd6-77cc-75ae-bf58-0cc3e42e9264', '01a22cd6-774f-752b-951b-52af26e879ab');
INSERT INTO public.account_leases VALUES ('01a22cd6-781d-7000-874b-c05176b09619', '01a22cd6-774f-752b-951b-52af26e879ab');
INSERT INTO public.account_leases VALUES ('01a22cd6-7879-779c-bb4d-c1183629c91e', '01a22cd6-774f-752b-951b-52af26e879ab');
INSERT INTO public.account_leases VALUES ('01a22cd6-788c-7293-ac00-b5361452a88f', '01a22cd6-774f-752b-951b-52af26e879ab');
INSERT INTO public.account_leases VALUES ('01a22cd6-7ee2-701b-9f44-0b5b7b9b707a', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf');
INSERT INTO public.account_leases VALUES ('01a22cd6-7eff-75fc-b576-482d6f870b56', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf');
INSERT INTO public.account_leases VALUES ('01a22cd6-7f01-7301-8def-5619b6b583db', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf');
INSERT INTO public.account_leases VALUES ('01a22cd6-7f08-74e2-af25-ff640ca89cad', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf');
INSERT INTO public.account_status VALUES ('01a22cd6-788c-7293-ac00-b5361452a88f', 'active', NULL, '2026-11-30 14:23:02.796304+00', NULL, 9);
INSERT INTO public.account_status VALUES ('01a22cd6-781d-7000-874b-c05176b09619', 'active', NULL, '2026-11-30 14:23:02.685843+00', NULL, 16);
INSERT INTO public.account_status VALUES ('01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'active', NULL, '2026-11-30 14:23:04.539642+00', NULL, 13);
INSERT INTO public.account_status VALUES ('01a22cd6-7ee2-701b-9f44-0b5b7b9b707a', 'active', NULL, '2026-11-30 14:23:04.418885+00', '2026-11-30 14:23:04.554991+00', 0);
INSERT INTO public.account_status VALUES ('01a22cd6-7879-779c-bb4d-c1183629c91e', 'failing', '{"kind": "unknown", "mail": "Mail stays on the server and is received once this is solved.", "what": "the server sent too much while fetching: a literal of 1099511627776 bytes was announced, 524288 are allowed", "action": "Correct the account or client configuration.", "must_act": "administrator"}', '2026-11-30 14:23:04.757713+00', NULL, 0);
INSERT INTO public.account_status VALUES ('01a22cd6-7eff-75fc-b576-482d6f870b56', 'active', NULL, '2026-11-30 14:23:04.447069+00', '2026-11-30 14:23:05.067274+00', 0);
INSERT INTO public.account_status VALUES ('01a22cd6-7f01-7301-8def-5619b6b583db', 'active', NULL, '2026-11-30 14:23:04.449817+00', '2026-11-30 14:23:05.419858+00', 0);
INSERT INTO public.account_status VALUES ('01a22cd6-7f08-74e2-af25-ff640ca89cad', 'active', NULL, '2026-11-30 14:23:04.456012+00', '2026-11-30 14:23:05.683712+00', 0);
INSERT INTO public.accounts VALUES ('01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'support', 'support', true, 'inbound', 'imap', 'localhost', 39885, 'tls', 'password', 'support@sandbox.test', '\x01fe5c748d9686a60c948a0b3749727a402364b959797cc660e8d1bedb193d2e3fa7d52b68ed9f4c476c604b5afb2e49caa60fc2c6cd8691743bbaf9d57c1a28c68daede347652660907bd06423d8acfda35e5251655945a', NULL, NULL, '{}', '{INBOX,Archive}', true, 60, 'mark_seen', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:02.604049+00', '2026-11-30 14:23:02.604049+00');
INSERT INTO public.accounts VALUES ('01a22cd6-781d-7000-874b-c05176b09619', 'billing', 'billing', true, 'inbound', 'imap', 'localhost', 39885, 'tls', 'password', 'billing@sandbox.test', '\x01fe5c748d9686a60c63ed7fe126a4a2356a4ce542a7b6d1f590744cf330824f9bd16822cd02a81355cee5a7a23e06488a060f829ab8c7814e7d1de49418ab5e025242a1b33f90730b784d17ba7f0d8ba36fa4e75598fd55', NULL, NULL, '{}', '{INBOX}', true, 60, 'mark_seen', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:02.685843+00', '2026-11-30 14:23:02.685843+00');
INSERT INTO public.accounts VALUES ('01a22cd6-7879-779c-bb4d-c1183629c91e', 'orders', 'orders', true, 'inbound', 'imap', 'localhost', 39885, 'tls', 'password', 'orders@sandbox.test', '\x01fe5c748d9686a60c9bc895f59933dec9c139377f9666e58b47f24a39b355693f399a2ab4e61879340115203a57d788b5ebc5d1ae4f470bc538f0a32ccda08052613861aeff4fb97024f3a7f6adf676e038246562c3ab', NULL, NULL, '{}', '{INBOX}', true, 60, 'keep', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:02.77769+00', '2026-11-30 14:23:02.77769+00');
INSERT INTO public.accounts VALUES ('01a22cd6-7ee2-701b-9f44-0b5b7b9b707a', 'support-out', 'support-out', true, 'outbound', 'smtp', 'localhost', 45299, 'tls', 'password', 'support@sandbox.test', '\x01fe5c748d9686a60cca87f6cae28cc49337392fec567ffb83e38f0cee7f1a375acb3259cea63b6f3762457b43fbfcd72c8d766b36fa7fcd64ea7aacb607639bf5770ae06fd33a981ac6900c37815334794f64ae50f4a317', NULL, NULL, '{support@sandbox.test}', '{}', true, 60, 'keep', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:04.418885+00', '2026-11-30 14:23:04.418885+00');
INSERT INTO public.accounts VALUES ('01a22cd6-7eff-75fc-b576-482d6f870b56', 'billing-out', 'billing-out', true, 'outbound', 'smtp', 'localhost', 45299, 'tls', 'password', 'billing@sandbox.test', '\x01fe5c748d9686a60ca9926545302c0e246b8bcefa1c8331d94d0c9f1b56a4abbb7cbc7216789fb67ce714f1e9aceef4f4b2418480ea33f936475210e448cf1041ae9657eb9441b88dc166724b801c7ff8316bfd10c203f0', NULL, NULL, '{billing@sandbox.test}', '{}', true, 60, 'keep', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:04.447069+00', '2026-11-30 14:23:04.447069+00');
INSERT INTO public.accounts VALUES ('01a22cd6-7f01-7301-8def-5619b6b583db', 'orders-out', 'orders-out', true, 'outbound', 'smtp', 'localhost', 45299, 'tls', 'password', 'orders@sandbox.test', '\x01fe5c748d9686a60cbc664336b31ac310ce19788f60aa9f6d3b204d3f6af925b91b2891209e129a122da3d5ebfa40677df662ba4cdbade2f85ce135c9d469051dc5851ae174725b90e8f08c4f78f74916f15ddc208267', NULL, NULL, '{orders@sandbox.test}', '{}', true, 60, 'keep', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:04.449817+00', '2026-11-30 14:23:04.449817+00');
INSERT INTO public.accounts VALUES ('01a22cd6-7f08-74e2-af25-ff640ca89cad', 'invoices-out', 'invoices-out', true, 'outbound', 'smtp', 'localhost', 45299, 'tls', 'password', 'invoices@sandbox.test', '\x01fe5c748d9686a60c008f3de4305c24e2fb2d7ac8dc8c164b0bca46fb114a51dcb0890c655e8a9c3af64fdb06be2520b62938d3b58300ca10d552b23eb7b685a54642783176ed52c2bd9c1d1d0592c086451747379a07845f', NULL, NULL, '{invoices@sandbox.test}', '{}', true, 60, 'keep', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 1, '2026-11-30 14:23:04.456012+00', '2026-11-30 14:23:04.456012+00');
INSERT INTO public.accounts VALUES ('01a22cd6-788c-7293-ac00-b5361452a88f', 'invoices', 'invoices', true, 'inbound', 'imap', '127.0.0.1', 39885, 'tls', 'password', 'invoices@sandbox.test', '\x01fe5c748d9686a60ccbc5640ef758b2ae54bf90cbb2f7866cd0ecfd485d9e13794e7a81970c5ff95042c37809ce87860f53efb1d7f4067fa0f6437609f869cbd903cb2b2c1d27dc36c61b973a5454451273eddf58d0d378e9', NULL, NULL, '{}', '{INBOX}', true, 60, 'keep', NULL, 1, '-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUKwTSoQ2CgqIM2HXVDPVl7rs617gwCgYIKoZIzj0EAwIw
JTEjMCEGA1UEAwwabWFpbG1lc2ggc2FuZGJveCBhdXRob3JpdHkwIBcNNzUwMTAx
MDAwMDAwWhgPNDA5NjAxMDEwMDAwMDBaMCUxIzAhBgNVBAMMGm1haWxtZXNoIHNh
bmRib3ggYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgKJzgdI9
kKFdNc/1z5oev8Sl2bk+jkM90BPWuhrpIImiGXgmoM6I1SSPQiIb4Klg0GqZmEEj
sVw21krNakqvjKNFMEMwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSLmAKEGYBa
DpM/C152DKKccvWAIjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0kA
MEYCIQDy/n38Katjj7qh4GWYphMSVf7tZbFYPZzDs1ZBcaoEJwIhAKM+Qz6L9BT5
kGABFRkaQiYVLaVNmVovyUEH1fKIWr8+
-----END CERTIFICATE-----
', 2, '2026-11-30 14:23:02.796304+00', '2026-11-30 14:23:06.42013+00');
INSERT INTO public.api_keys VALUES ('01a22cd6-77b4-7238-87e8-4f1746a6d4ed', 'first administrator', 'administrator', '\x516fba6130b24d5d8965d4a35f90842e1dab604be863cb5832ef70792a4ce7c0', '2026-11-30 14:23:02.580216+00', NULL);
INSERT INTO public.mailbox_cursors VALUES ('01a22cd6-7879-779c-bb4d-c1183629c91e', 'INBOX', 1796048584, 0, '2026-11-30 14:23:02.895391+00', NULL, '2026-11-30 14:23:02.895391+00');
INSERT INTO public.mailbox_cursors VALUES ('01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'Archive', 1796048578, 2, '2026-11-30 14:23:02.856248+00', NULL, '2026-11-30 14:23:03.030722+00');
INSERT INTO public.mailbox_cursors VALUES ('01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'INBOX', 1796048576, 3, '2026-11-30 14:23:02.763399+00', NULL, '2026-11-30 14:23:04.051864+00');
INSERT INTO public.mailbox_cursors VALUES ('01a22cd6-781d-7000-874b-c05176b09619', 'INBOX', 1796048580, 2, '2026-11-30 14:23:02.815742+00', NULL, '2026-11-30 14:23:04.120486+00');
INSERT INTO public.mailbox_cursors VALUES ('01a22cd6-788c-7293-ac00-b5361452a88f', 'INBOX', 0, 1, '2026-11-30 14:23:02.870908+00', NULL, '2026-11-30 14:23:02.961616+00');
INSERT INTO public.outbound_mails VALUES ('01a22cd6-7f25-70b4-ac86-25fa098accbf', '01a22cd6-7ee2-701b-9f44-0b5b7b9b707a', 'sent', true, '\x76e69395d54b027de3bafbf6441db19a7cfe676a4d559ad4d08c4064de239c01', '<01a22cd6-7f25-70b4-ac86-25fa098accbf@sandbox.test>', 'support@sandbox.test', '[{"reply": "250 2.1.5 OK", "address": "a@example.com", "accepted": true}]', 264, 1, 'sent', 1, 0, '2026-11-30 14:23:04.658084+00', 'hold', NULL, NULL, '250 2.0.0 OK queued as 1', '00-7826579adb98c2d87e24376544f66c9f-8037548cb3b88e92-00', '2026-11-30 14:23:04.533648+00', '2026-11-30 14:23:04.658189+00', false);
INSERT INTO public.outbound_mails VALUES ('01a22cd6-8032-7bda-a9a8-7c3b652cd0a8', '01a22cd6-7ee2-701b-9f44-0b5b7b9b707a', 'uncertain', true, '\xccd923195b52e5d2c6c9ca06830fa953b411dc69bb2be6a2181e70f76718da11', '<01a22cd6-8032-7bda-a9a8-7c3b652cd0a8@sandbox.test>', 'support@sandbox.test', '[{"reply": "250 2.1.5 OK", "address": "a@example.com"}]', 269, 1, 'uncertain', 1, 0, '2026-11-30 14:24:04.777158+00', 'hold', NULL, '{"kind": "unknown", "mail": "The server may have it; it is held for a person to decide unless the Sent folder tells.", "what": "The server may or may not have taken the mail: the session broke before the reply: the server closed the connection", "action": "Look for the mail in the Sent folder, then decide: POST /v1/outbox/<mail_id>/decision with resend, assume_sent or fail.", "must_act": "administrator"}', NULL, '00-7826579adb98c2d87e24376544f66c9f-f648062e19182bf7-00', '2026-11-30 14:23:04.769675+00', NULL, false);
INSERT INTO public.outbound_mails VALUES ('01a22cd6-811c-755b-8c3a-9584da144646', '01a22cd6-7eff-75fc-b576-482d6f870b56', 'dot sent', true, '\x4bc50b2e0933c5f0d0d846e9b6214fbcd6bf298022533e0736bc4d41d40e0340', '<01a22cd6-811c-755b-8c3a-9584da144646@sandbox.test>', 'billing@sandbox.test', '[{"address": "a@example.com"}]', 268, 1, 'sending', 1, 0, '2026-11-30 14:23:05.033702+00', 'hold', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', NULL, NULL, '00-7826579adb98c2d87e24376544f66c9f-88dc174b0a7c9442-00', '2026-11-30 14:23:05.033702+00', NULL, false);
INSERT INTO public.outbound_mails VALUES ('01a22cd6-8283-76c0-af92-27519b0a230f', '01a22cd6-7f01-7301-8def-5619b6b583db', 'started 1', true, '\x2a4d19f1ddfa2918bbbafdbcfa69050155a18b2385e163243a112df509b17eab', '<01a22cd6-8283-76c0-af92-27519b0a230f@sandbox.test>', 'orders@sandbox.test', '[{"address": "a@example.com"}]', 268, 1, 'sending', 1, 0, '2026-11-30 14:23:05.377691+00', 'hold', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', NULL, NULL, '00-7826579adb98c2d87e24376544f66c9f-b835bfa27d36c218-00', '2026-11-30 14:23:05.377691+00', NULL, false);
INSERT INTO public.outbound_mails VALUES ('01a22cd6-828f-7d01-8b33-650ca33e5749', '01a22cd6-7f01-7301-8def-5619b6b583db', 'started 2', true, '\x1fc7fdac79ac122520a289b711c207789a2de4c5b5205913c69a88aecc0976d8', '<01a22cd6-828f-7d01-8b33-650ca33e5749@sandbox.test>', 'orders@sandbox.test', '[{"address": "a@example.com"}]', 268, 1, 'sending', 1, 0, '2026-11-30 14:23:05.406363+00', 'hold', '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', NULL, NULL, '00-7826579adb98c2d87e24376544f66c9f-93c56e184dac8873-00', '2026-11-30 14:23:05.406363+00', NULL, false);
INSERT INTO public.outbound_mails VALUES ('01a22cd6-83c7-7952-af06-3d503292cb71', '01a22cd6-7f08-74e2-af25-ff640ca89cad', 'queued 1', true, '\x6dd3b1f5ffce7f766057b02649972a06d00551b268d64a282db9ef4f1940ba1b', '<01a22cd6-83c7-7952-af06-3d503292cb71@sandbox.test>', 'invoices@sandbox.test', '[{"reply": "451 4.2.2 Mailbox full", "address": "a@example.com"}]', 269, 1, 'queued', 1, 1, '2026-11-30 14:24:05.686782+00', 'hold', NULL, '{"code": "451 4.2.2", "kind": "transient", "mail": "It stays queued and is tried again by itself.", "what": "The server refused a recipient: 451 4.2.2 Mailbox full", "action": "Nothing: it is tried again by itself.", "must_act": "nobody"}', NULL, '00-7826579adb98c2d87e24376544f66c9f-7c732f4858aaf8cc-00', '2026-11-30 14:23:05.673491+00', NULL, false);
INSERT INTO public.outbound_mails VALUES ('01a22cd6-83ce-7fc6-b3f3-ab4eaeca6805', '01a22cd6-7f08-74e2-af25-ff640ca89cad', 'queued 2', true, '\x326c20b1253e50b632329b7ddea12feab484b2dceab04b2fbcfc672a98d4f009', '<01a22cd6-83ce-7fc6-b3f3-ab4eaeca6805@sandbox.test>', 'invoices@sandbox.test', '[{"reply": "451 4.2.2 Mailbox full", "address": "a@example.com"}]', 269, 1, 'queued', 1, 1, '2026-11-30 14:24:05.687022+00', 'hold', NULL, '{"code": "451 4.2.2", "kind": "transient", "mail": "It stays queued and is tried again by itself.", "what": "The server refused a recipient: 451 4.2.2 Mailbox full", "action": "Nothing: it is tried again by itself.", "must_act": "nobody"}', NULL, '00-7826579adb98c2d87e24376544f66c9f-4eef2767265b49fe-00', '2026-11-30 14:23:05.681633+00', NULL, false);
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (17, '01a22cd6-77a9-761b-88dc-41b5a6e78b8b', 'account.changed.invoices', '01a22cd6-86c1-724b-8845-8926aa7b5b77', '[["ce-specversion", "1.0"], ["ce-id", "01a22cd6-86c1-724b-8845-8926aa7b5b77"], ["ce-source", "mailmesh/admin"], ["ce-type", "account.changed.v1"], ["ce-time", "2026-11-30T14:23:06.433593379Z"], ["ce-subject", "invoices"], ["ce-datacontenttype", "application/json"], ["traceparent", "00-c6f77492cff93088044e0caddf5ec243-628de02c55aacd51-00"], ["tracestate", ""]]', '\x7b226163636f756e74223a22696e766f69636573222c2269735f64656c65746564223a66616c73657d', '2026-11-30 14:23:06.433622+00', NULL);
INSERT INTO public.quarantined_mails VALUES ('01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'INBOX', 1796048576, 3, 3, '{"kind": "permanent", "mail": "The mail stays on the server and is not received; all others are.", "what": "A mail cannot be read: the server sent too much while fetching.", "action": "Look at the mail in the mailbox; moved out of the folder and back it is tried again.", "must_act": "administrator"}', '2026-11-30 14:23:04.034554+00', '2026-11-30 14:23:04.034554+00', '2026-11-30 14:23:03.454711+00');
INSERT INTO public.quarantined_mails VALUES ('01a22cd6-7879-779c-bb4d-c1183629c91e', 'INBOX', 1796048584, 1, 4, '{"kind": "permanent", "mail": "The mail stays on the server and is not received; all others are.", "what": "A mail cannot be read: the server sent too much while fetching.", "action": "Look at the mail in the mailbox; moved out of the folder and back it is tried again.", "must_act": "administrator"}', NULL, '2026-11-30 14:23:05.347573+00', '2026-11-30 14:23:04.291618+00');
INSERT INTO public.received_mails VALUES ('32c8a7ec-fe59-840b-8f2b-527437776faf', '01a22cd6-788c-7293-ac00-b5361452a88f', 'INBOX', 1796048588, 1, '\xfc1c2d0a3db6b2503ae1b0018084490a70da0a5cc86766f4c80813c2130b181e', 162, 1, false, '2026-11-30 14:23:02.961616+00');
INSERT INTO public.received_mails VALUES ('5af4f8d7-6caf-8e38-8103-accc60d5eaf7', '01a22cd6-781d-7000-874b-c05176b09619', 'INBOX', 1796048580, 1, '\x8ee7140536ae90506d622949da15d991fccf56df7a29190c87c0d49d65ad3b84', 163, 1, false, '2026-11-30 14:23:03.005794+00');
INSERT INTO public.received_mails VALUES ('7770a144-0fc5-8bfd-b706-84b73d351486', '01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'Archive', 1796048578, 1, '\x5a611e366284aac4d2e0ad4d9ab306303f637995b8c821bfbc11c02a061a6e0a', 171, 1, false, '2026-11-30 14:23:03.005794+00');
INSERT INTO public.received_mails VALUES ('68c7edae-7403-8adc-8fef-1d6ec033f502', '01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'Archive', 1796048578, 2, '\x6345ecf5e02cce9f35ac31abd1226da50b3844a62ffd41a549c250e0eb834150', 171, 1, false, '2026-11-30 14:23:03.030722+00');
INSERT INTO public.received_mails VALUES ('521375e2-484f-8d66-8116-686b0666619f', '01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'INBOX', 1796048576, 1, '\xeaaeb0bb6bb2e0dba72fa722b38c03f4dd61d109952bce8fe5def6322b5fc2c7', 171, 1, false, '2026-11-30 14:23:03.095189+00');
INSERT INTO public.received_mails VALUES ('50eb1702-50e8-8370-acb5-954928627275', '01a22cd6-77cc-75ae-bf58-0cc3e42e9264', 'INBOX', 1796048576, 2, '\xbe9809e8e8365e739e433d31f4baa67e3839bddf10582504f07f7cbea2a88c8d', 171, 1, false, '2026-11-30 14:23:03.117746+00');
INSERT INTO public.received_mails VALUES ('edd4d1dd-d24c-8753-8c5c-4b555847bd6f', '01a22cd6-781d-7000-874b-c05176b09619', 'INBOX', 1796048580, 2, '\x653fc80f895e27407f2f04d4e287077bdd96de02269fdcf4a4646bd1344dd8de', 167, 1, true, '2026-11-30 14:23:04.120486+00');
INSERT INTO public.replicas VALUES ('01a22cd6-76d9-70fb-81d0-ff7813d957a3', 'token-refresh', '2026-11-30 14:23:05.489588+00');
INSERT INTO public.replicas VALUES ('01a22cd6-774f-752b-951b-52af26e879ab', 'inbound-fetcher', '2026-11-30 14:23:05.541597+00');
INSERT INTO public.replicas VALUES ('01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'outbound-sender', '2026-11-30 14:23:05.544089+00');
INSERT INTO public.replicas VALUES ('01a22cd6-778e-75aa-be3d-4756a249f133', 'auth-callback', '2026-11-30 14:23:05.591179+00');
INSERT INTO public.replicas VALUES ('01a22cd6-77a9-761b-88dc-41b5a6e78b8b', 'admin', '2026-11-30 14:23:05.591268+00');
INSERT INTO public.send_attempts VALUES ('01a22cd6-7f25-70b4-ac86-25fa098accbf', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'finished', '2026-11-30 14:23:04.579449+00', '2026-11-30 14:23:04.658189+00', 'sent', '2026-11-30 14:23:04.626313+00');
INSERT INTO public.send_attempts VALUES ('01a22cd6-8032-7bda-a9a8-7c3b652cd0a8', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'finished', '2026-11-30 14:23:04.772036+00', '2026-11-30 14:23:04.777282+00', 'uncertain', '2026-11-30 14:23:04.776715+00');
INSERT INTO public.send_attempts VALUES ('01a22cd6-811c-755b-8c3a-9584da144646', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'final_dot', '2026-11-30 14:23:05.087913+00', NULL, NULL, '2026-11-30 14:23:05.10695+00');
INSERT INTO public.send_attempts VALUES ('01a22cd6-8283-76c0-af92-27519b0a230f', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'started', '2026-11-30 14:23:05.440863+00', NULL, NULL, NULL);
INSERT INTO public.send_attempts VALUES ('01a22cd6-828f-7d01-8b33-650ca33e5749', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'started', '2026-11-30 14:23:05.440863+00', NULL, NULL, NULL);
INSERT INTO public.send_attempts VALUES ('01a22cd6-83c7-7952-af06-3d503292cb71', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'finished', '2026-11-30 14:23:05.685638+00', '2026-11-30 14:23:05.686838+00', 'queued', NULL);
INSERT INTO public.send_attempts VALUES ('01a22cd6-83ce-7fc6-b3f3-ab4eaeca6805', 1, '01a22cd6-778a-718e-9b1e-0a3944fbb1cf', 'finished', '2026-11-30 14:23:05.685638+00', '2026-11-30 14:23:05.688265+00', 'queued', NULL);
SELECT pg_catalog.setval('public.outbox_outbox_id_seq', 17, true);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.account_leases
    ADD CONSTRAINT account_leases_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY public.account_status
    ADD CONSTRAINT account_status_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_key_key UNIQUE (key);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (api_key_id);
ALTER TABLE ONLY public.client_configurations
    ADD CONSTRAINT client_configurations_key_key UNIQUE (key);
ALTER TABLE ONLY public.client_configurations
    ADD CONSTRAINT client_configurations_pkey PRIMARY KEY (client_configuration_id);
ALTER TABLE ONLY public.grants
    ADD CONSTRAINT grants_client_configuration_id_subject_key UNIQUE (client_configuration_id, subject);
ALTER TABLE ONLY public.grants
    ADD CONSTRAINT grants_pkey PRIMARY KEY (grant_id);
ALTER TABLE ONLY public.mailbox_cursors
    ADD CONSTRAINT mailbox_cursors_pkey PRIMARY KEY (account_id, folder);
ALTER TABLE ONLY public.outbound_mails
    ADD CONSTRAINT outbound_mails_account_id_idempotency_key_key UNIQUE (account_id, idempotency_key);
ALTER TABLE ONLY public.outbound_mails
    ADD CONSTRAINT outbound_mails_pkey PRIMARY KEY (mail_id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (outbox_id);
ALTER TABLE ONLY public.quarantined_mails
    ADD CONSTRAINT quarantined_mails_pkey PRIMARY KEY (account_id, folder, uid_validity, uid);
ALTER TABLE ONLY public.received_mails
    ADD CONSTRAINT received_mails_pkey PRIMARY KEY (mail_id);
ALTER TABLE ONLY public.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (replica_id);
ALTER TABLE ONLY public.send_attempts
    ADD CONSTRAINT send_attempts_pkey PRIMARY KEY (mail_id, attempt);
ALTER TABLE ONLY public.sign_ins
    ADD CONSTRAINT sign_ins_link_hash_key UNIQUE (link_hash);
ALTER TABLE ONLY public.sign_ins
    ADD CONSTRAINT sign_ins_pkey PRIMARY KEY (sign_in_id);
ALTER TABLE ONLY public.sign_ins
    ADD CONSTRAINT sign_ins_state_hash_key UNIQUE (state_hash);
CREATE INDEX idx_account_leases_replica_id ON public.account_leases USING btree (replica_id);
CREATE INDEX idx_accounts_client_configuration_id ON public.accounts USING btree (client_configuration_id);
CREATE INDEX idx_accounts_direction ON public.accounts USING btree (direction) WHERE is_enabled;
CREATE INDEX idx_accounts_grant_id ON public.accounts USING btree (grant_id);
CREATE INDEX idx_grants_refresh_due_at ON public.grants USING btree (refresh_due_at) WHERE (state <> 'sign_in_required'::text);
CREATE INDEX idx_grants_state ON public.grants USING btree (state) WHERE (state <> 'active'::text);
CREATE INDEX idx_outbound_mails_due ON public.outbound_mails USING btree (account_id, due_at, mail_id) WHERE (state = 'queued'::text);
CREATE INDEX idx_outbound_mails_failed ON public.outbound_mails USING btree (mail_id) WHERE (state = 'failed'::text);
CREATE INDEX idx_outbound_mails_finished_at ON public.outbound_mails USING btree (finished_at) WHERE (finished_at IS NOT NULL);
CREATE INDEX idx_outbound_mails_open ON public.outbound_mails USING btree (account_id) WHERE (state = ANY (ARRAY['sending'::text, 'uncertain'::text]));
CREATE INDEX idx_outbound_mails_sent_bodies ON public.outbound_mails USING btree (finished_at) WHERE ((state = ANY (ARRAY['sent'::text, 'cancelled'::text])) AND (chunks > 0));
CREATE INDEX idx_outbox_replica_id ON public.outbox USING btree (replica_id, outbox_id);
CREATE INDEX idx_received_mails_account_id_sha256 ON public.received_mails USING btree (account_id, sha256);
CREATE INDEX idx_received_mails_due ON public.received_mails USING btree (account_id, folder, uid) WHERE is_post_action_due;
CREATE INDEX idx_sign_ins_expires_at ON public.sign_ins USING btree (expires_at);
ALTER TABLE ONLY public.account_leases
    ADD CONSTRAINT account_leases_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.account_status
    ADD CONSTRAINT account_status_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_client_configuration_id_fkey FOREIGN KEY (client_configuration_id) REFERENCES public.client_configurations(client_configuration_id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_grant_id_fkey FOREIGN KEY (grant_id) REFERENCES public.grants(grant_id) ON DELETE SET NULL;
ALTER TABLE ONLY public.grants
    ADD CONSTRAINT grants_client_configuration_id_fkey FOREIGN KEY (client_configuration_id) REFERENCES public.client_configurations(client_configuration_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.mailbox_cursors
    ADD CONSTRAINT mailbox_cursors_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.outbound_mails
    ADD CONSTRAINT outbound_mails_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.quarantined_mails
    ADD CONSTRAINT quarantined_mails_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.received_mails
    ADD CONSTRAINT received_mails_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.send_attempts
    ADD CONSTRAINT send_attempts_mail_id_fkey FOREIGN KEY (mail_id) REFERENCES public.outbound_mails(mail_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sign_ins
    ADD CONSTRAINT sign_ins_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(account_id) ON DELETE CASCADE;
