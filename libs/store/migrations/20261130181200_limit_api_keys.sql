-- A key ends, is scoped, and names its maker (null: made on the host). Keys from before could read raw mail, and still can.
ALTER TABLE api_keys ADD COLUMN expires_at timestamptz;
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;
ALTER TABLE api_keys ADD COLUMN made_by uuid;
ALTER TABLE api_keys ADD COLUMN account_keys text[];
ALTER TABLE api_keys ADD COLUMN may_read_raw boolean NOT NULL DEFAULT true;
-- The key, not an administrator's, that an account was made with, or given another owner's login with. A sign-in that is
-- made for another account of that login is not given to it. Null: shares the sign-ins of its login.
ALTER TABLE accounts ADD COLUMN signs_in_for uuid;
