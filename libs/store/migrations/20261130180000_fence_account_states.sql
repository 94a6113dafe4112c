-- An owner that was frozen and replaced must not write over what the next one sees: an account's state is written together
-- with a look at its lease, and the generation tells two terms of one replica apart.
ALTER TABLE account_leases ADD COLUMN generation bigint NOT NULL DEFAULT 0;
