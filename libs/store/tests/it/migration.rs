//! Migrations over rows that the release before has written.

use std::path::Path;

use anyhow::{Context, Result};

use crate::world::World;

/// Runs the migrations from the first up to `last`, or those after it.
async fn migrate(world: &World, last: &str, is_after: bool) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        let name = file.file_name().context("it has no name")?;
        if (name.to_string_lossy().as_ref() > last) == is_after {
            world.execute(&std::fs::read_to_string(&file)?).await?;
        }
    }
    Ok(())
}

const ROWS: &str = "
    INSERT INTO accounts (account_id, key, name, is_enabled, direction, protocol, host, port,
        encryption, authorisation, login, from_addresses, folders, receive_existing,
        poll_interval_seconds, after_receive, max_connections, created_at, updated_at)
    SELECT gen_random_uuid(), 'support', 'x', true, 'inbound', 'imap', 'h', 993, 'tls', 'none',
           'l', '{}', '{INBOX}', false, 60, 'delete', 1, now(), now();
    INSERT INTO mailbox_cursors
    SELECT account_id, 'INBOX', 4294967295, 7, now(), 9, now() FROM accounts
    UNION ALL SELECT account_id, 'Voided', 0, 8, now(), NULL, now() FROM accounts;
    INSERT INTO received_mails
    SELECT gen_random_uuid(), account_id, 'INBOX', 4294967295, 7, '\\x00', 1, 1, true, now()
    FROM accounts;
    INSERT INTO quarantined_mails (account_id, folder, uid_validity, uid, attempts, problem,
        first_failed_at, updated_at)
    SELECT account_id, 'INBOX', 4294967295, 6, 2, '{}', now(), now() FROM accounts;";

#[tokio::test]
async fn places_of_mails_become_epoch_position_and_ordinal() -> Result<()> {
    let world = World::empty().await?;
    let before = "20261130";
    migrate(&world, before, false).await?;
    world.execute(ROWS).await?;

    migrate(&world, before, true).await?;

    let cursors: String = world
        .read(
            "SELECT string_agg(concat_ws(' ', folder, epoch, ordinal, rescan_until_ordinal), ', '
                               ORDER BY folder)
             FROM mailbox_cursors",
        )
        .await?;
    assert_eq!(cursors, "INBOX 4294967295 7 9, Voided void 8");
    let received = "SELECT concat_ws(' ', epoch, position, ordinal) FROM received_mails";
    assert_eq!(world.read::<String>(received).await?, "4294967295 7 7");
    let broken = "SELECT concat_ws(' ', epoch, position, attempts) FROM quarantined_mails";
    assert_eq!(world.read::<String>(broken).await?, "4294967295 6 2");
    Ok(())
}
