-- What a client signs with in place of a secret: a private key in PEM, with the certificate that is registered for it, or a
-- service account's JSON key.
ALTER TABLE client_configurations ADD COLUMN private_key_sealed bytea;
ALTER TABLE client_configurations ADD COLUMN certificate_pem text;
ALTER TABLE client_configurations DROP CONSTRAINT client_configurations_token_endpoint_auth_check;
ALTER TABLE client_configurations ADD CONSTRAINT client_configurations_token_endpoint_auth_check
    CHECK (token_endpoint_auth IN ('client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'));
