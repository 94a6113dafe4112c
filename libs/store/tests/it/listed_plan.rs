//! A look at a mailbox of 50,000 mails reads each of their rows once, and none of the 50,000 of other mailboxes.

use anyhow::{Result, ensure};
use mailmesh_domain::AccountId;
use mailmesh_secrets::sha256;
use mailmesh_store::listed_mail::{
    self, FetchedEntry, ListingEntry, adopt_known, find_unseen, finish_gone_post_actions,
    forget_absent, note_listing,
};
use mailmesh_store::{Database, DatabaseSettings, Tx};

use crate::sample::{self, LATER, NOW, entry};
use crate::world::World;

const MAILS: usize = 50_000;
/// What is read of the mailbox itself, and a little of accounts.
const EACH_ROW_ONCE: i64 = 52_000;
const FEW_ROWS: i64 = 1_500;

const FILL: &str = "
    INSERT INTO accounts (account_id, key, name, is_enabled, direction, protocol, host, port,
        encryption, authorisation, login, from_addresses, folders, receive_existing,
        poll_interval_seconds, after_receive, max_connections, created_at, updated_at)
    SELECT gen_random_uuid(), 'a' || n, 'x', true, 'inbound', 'pop3', 'h', 110, 'none', 'none',
           'l', '{}', '{INBOX}', false, 60, 'delete', 1, now(), now()
    FROM generate_series(1, 101) n;
    INSERT INTO account_status (account_id, state, changed_at, proved_at)
    SELECT account_id, 'active', now(), '2027-01-01' FROM accounts;
    INSERT INTO received_mails (mail_id, account_id, folder, epoch, position, ordinal, sha256,
        size_bytes, chunks, is_post_action_due, recorded_at)
    SELECT gen_random_uuid(), account_id, 'INBOX', '', 'u' || n, n, sha256(n::text::bytea), 1, 1,
           n % 50 = 0, now()
    FROM accounts CROSS JOIN generate_series(1, 50000) n
    WHERE key = 'a1' OR n <= 500;
    INSERT INTO listed_mails (account_id, folder, position, sha256, mail_id, listed_bytes,
        first_seen_at)
    SELECT account_id, folder, position, sha256, mail_id, 10, now() FROM received_mails;
    VACUUM ANALYZE;";

struct Mailbox {
    world: World,
    account: AccountId,
    listing: Vec<ListingEntry>,
}

impl Mailbox {
    async fn new() -> Result<Self> {
        let world = World::new().await?;
        world.database.close().await;
        for statement in FILL.split_inclusive(';') {
            world.execute(statement).await?;
        }
        let account = "SELECT account_id FROM accounts WHERE key = 'a1'";
        Ok(Self {
            account: AccountId::from_uuid(world.read(account).await?),
            listing: (1..=MAILS).map(|n| entry(&format!("u{n}"), 10)).collect(),
            world,
        })
    }

    /// Runs statements and rolls them back; fails when they read more rows.
    async fn check(
        &self,
        name: &str,
        most: i64,
        run: impl AsyncFnOnce(&mut Tx) -> Result<()>,
    ) -> Result<()> {
        let before = self.world.rows_read().await?;
        let settings = DatabaseSettings {
            max_connections: 1,
            ..self.world.settings()
        };
        let database = Database::connect(&settings).await?;
        let mut tx = database.begin().await?;
        run(&mut tx).await?;
        drop(tx);
        database.close().await;
        let read = self.world.rows_read().await? - before;
        ensure!(read <= most, "{name} reads {read} rows");
        Ok(())
    }
}

#[tokio::test]
async fn a_look_at_a_large_mailbox_reads_each_row_once() -> Result<()> {
    let mailbox = Mailbox::new().await?;
    look(&mailbox).await?;

    // The plan that a statement gets once it has run often, whatever it is asked for.
    mailbox.world.force_generic_plans().await?;
    look(&mailbox).await
}

async fn look(mailbox: &Mailbox) -> Result<()> {
    let (account, listing) = (mailbox.account, &mailbox.listing);
    mailbox
        .check("note_listing", EACH_ROW_ONCE, async |tx| {
            Ok(note_listing(tx, account, "INBOX", listing, NOW).await?)
        })
        .await?;
    mailbox
        .check("find_unseen", EACH_ROW_ONCE, async |tx| {
            let unseen = find_unseen(tx, account, "INBOX", listing).await?;
            ensure!(unseen.is_empty(), "{} are unseen", unseen.len());
            Ok(())
        })
        .await?;
    // One chunk asks for half of the table, which is then read whole, and once.
    mailbox
        .check(
            "find_unseen with one id for all",
            2 * EACH_ROW_ONCE,
            async |tx| {
                let same = vec![entry("u1", 10); MAILS];
                let unseen = find_unseen(tx, account, "INBOX", &same).await?;
                ensure!(unseen.len() == MAILS, "{} are unseen", unseen.len());
                Ok(())
            },
        )
        .await?;
    mailbox
        .check("adopt_known", FEW_ROWS, async |tx| {
            let known = adopt_known(tx, account, "INBOX", &fetched(listing)).await?;
            ensure!(known.len() == 100, "{} are known", known.len());
            Ok(())
        })
        .await?;
    mailbox
        .check("record", FEW_ROWS, async |tx| {
            let mail = sample::received(account, 9);
            Ok(listed_mail::record(tx, &[&mail], None, NOW).await?)
        })
        .await?;
    absences(mailbox).await
}

async fn absences(mailbox: &Mailbox) -> Result<()> {
    let account = mailbox.account;
    mailbox
        .check("nothing absent", FEW_ROWS, async |tx| {
            let finished = finish_gone_post_actions(tx, account, "INBOX").await?;
            let forgotten = forget_absent(tx, LATER, 1_000).await?;
            ensure!((finished, forgotten) == (0, 0));
            Ok(())
        })
        .await?;
    mailbox
        .check("everything absent", 10 * EACH_ROW_ONCE, async |tx| {
            note_listing(tx, account, "INBOX", &[], NOW).await?;
            let finished = finish_gone_post_actions(tx, account, "INBOX").await?;
            let forgotten = forget_absent(tx, LATER, 1_000).await?;
            ensure!((finished, forgotten) == (1_000, 1_000));
            Ok(())
        })
        .await
}

fn fetched(listing: &[ListingEntry]) -> Vec<FetchedEntry> {
    let fetched = (1..=100_u64)
        .zip(listing)
        .map(|(ordinal, entry)| FetchedEntry {
            ordinal,
            entry: entry.clone(),
            sha256: sha256(ordinal.to_string().as_bytes()),
        });
    fetched.collect()
}
