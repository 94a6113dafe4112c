-- `admin` shows whether a secret is set and never which: it needs no right to read what is sealed. Generated, so that no writer
-- of the sealed column has to think of it. Rewrites both tables, whose rows are as many as the accounts.
ALTER TABLE accounts
    ADD COLUMN has_password boolean NOT NULL GENERATED ALWAYS AS (password_sealed IS NOT NULL) STORED;
ALTER TABLE client_configurations
    ADD COLUMN has_client_secret boolean NOT NULL GENERATED ALWAYS AS (client_secret_sealed IS NOT NULL) STORED;
