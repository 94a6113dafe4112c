-- Accounts whose first token is to be fetched are looked for every few seconds, of each client that needs no person.
CREATE INDEX idx_accounts_client_configuration_id_without_grant
    ON accounts (client_configuration_id) WHERE grant_id IS NULL AND authorisation = 'oauth2';
