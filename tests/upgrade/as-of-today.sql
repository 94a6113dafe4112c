-- The upgrade takes place an hour after the dump, whenever the test runs.
DO $$
DECLARE
    moment record;
BEGIN
    FOR moment IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
    LOOP
        EXECUTE format('UPDATE public.%1$I SET %2$I = %2$I + (now() - interval ''1 hour'' - timestamptz ''{dumped_at}'')',
                       moment.table_name, moment.column_name);
    END LOOP;
END $$;

-- The sandbox of the test has other ports and another certificate. To the mesh it is the same server.
UPDATE public.accounts
SET port = CASE protocol WHEN 'imap' THEN {imap_port} ELSE {smtp_port} END, ca_pem = '{ca_pem}';
