-- A mail's place was IMAP's UIDVALIDITY and UID. Other protocols name places by texts: `epoch` says within what `position` means a mail, and
-- `ordinal` orders a folder's mails where the protocol does. For IMAP these are UIDVALIDITY, UID and UID.
--
-- Each table is rewritten once, with its indexes, under a lock: `received_mails` is the only large one, some ten seconds for two million rows.

ALTER TABLE mailbox_cursors ALTER COLUMN uid_validity TYPE text
    -- 0 stood for an account that was given another server or login.
    USING CASE uid_validity WHEN 0 THEN 'void' ELSE uid_validity::text END;
ALTER TABLE mailbox_cursors RENAME COLUMN uid_validity TO epoch;
ALTER TABLE mailbox_cursors RENAME COLUMN last_uid TO ordinal;
ALTER TABLE mailbox_cursors RENAME COLUMN rescan_until_uid TO rescan_until_ordinal;

ALTER TABLE received_mails ADD COLUMN position text;
-- Both in one statement, so that rows are written once.
ALTER TABLE received_mails
    ALTER COLUMN uid_validity TYPE text USING uid_validity::text,
    ALTER COLUMN position TYPE text USING uid::text,
    ALTER COLUMN position SET NOT NULL;
ALTER TABLE received_mails RENAME COLUMN uid_validity TO epoch;
ALTER TABLE received_mails RENAME COLUMN uid TO ordinal;

ALTER TABLE quarantined_mails
    ALTER COLUMN uid_validity TYPE text USING uid_validity::text,
    ALTER COLUMN uid TYPE text USING uid::text;
ALTER TABLE quarantined_mails RENAME COLUMN uid_validity TO epoch;
ALTER TABLE quarantined_mails RENAME COLUMN uid TO position;
