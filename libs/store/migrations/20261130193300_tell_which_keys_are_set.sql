-- As has_client_secret: `admin` shows whether a client has a private key, and has no right to read what is sealed.
ALTER TABLE client_configurations
    ADD COLUMN has_private_key boolean NOT NULL GENERATED ALWAYS AS (private_key_sealed IS NOT NULL) STORED;
