-- Due refreshes are claimed in fair shares of the client configurations, the longest due of each first. Not built
-- concurrently: that waits for every other statement, and so for a second process that waits for its turn to migrate.
CREATE INDEX idx_grants_client_configuration_id_refresh_due_at
    ON grants (client_configuration_id, refresh_due_at) WHERE state <> 'sign_in_required';
