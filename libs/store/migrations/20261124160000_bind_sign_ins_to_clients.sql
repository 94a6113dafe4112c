-- A code must go to the provider that it came from, and to no other that the account was pointed at since
-- (RFC 9700, section 4.4).
ALTER TABLE sign_ins
    ADD COLUMN client_configuration_id uuid,
    ADD COLUMN client_updated_at timestamptz;
