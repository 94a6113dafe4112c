-- Clients may come to their tokens without any person. Grants keep the flow of their client, for services that may not read
-- its row. What is there is from people who signed in.
ALTER TABLE client_configurations ADD COLUMN flow text NOT NULL DEFAULT 'user'
    CHECK (flow IN ('user', 'client_credentials', 'jwt_bearer'));
ALTER TABLE grants ADD COLUMN flow text NOT NULL DEFAULT 'user'
    CHECK (flow IN ('user', 'client_credentials', 'jwt_bearer'));
