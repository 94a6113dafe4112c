-- One redirect URI per client configuration tells answers of different providers apart (RFC 9700 §4.4). Those from before
-- are registered at their providers with the URI that all shared; it is answered as long as one configuration uses it.
ALTER TABLE client_configurations ADD COLUMN is_redirect_shared boolean NOT NULL DEFAULT true;
