-- Mail that is due while its account cannot send is put off with the account, also when it had failed
-- before and kept a schedule of its own: it is due once the account works, not an hour later.
ALTER TABLE outbound_mails ADD COLUMN is_parked boolean NOT NULL DEFAULT false;
