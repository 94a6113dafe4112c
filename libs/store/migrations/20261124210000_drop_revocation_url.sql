-- Nothing revokes tokens: at Google, revoking one ends every mailbox of that person.
ALTER TABLE client_configurations DROP COLUMN revocation_url;
