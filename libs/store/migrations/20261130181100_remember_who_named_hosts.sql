-- Whether an administrator has named the account's host. Of others it is connected to public addresses only, and to the
-- networks that [network] allows. Hosts from before are left to work.
ALTER TABLE accounts ADD COLUMN is_host_trusted boolean NOT NULL DEFAULT true;
