//! What runs often must not read what it does not need. The server's own counters tell, after each
//! statement, how many rows were read of tables of 20,000. `TEST_PLAN_FACTOR=20` makes the same history twenty times as long:
//! what is read stays the same. Not a part of CI: filling the tables takes minutes then.

use anyhow::{Context, Result, ensure};
use mailmesh_domain::{
    AccountId, ClientConfigurationId, Direction, Epoch, GrantId, MailId, OutboundState, ReplicaId,
};
use mailmesh_store::event_mark::{self, EventMark};
use mailmesh_store::mailbox::FoundMail;
use mailmesh_store::outbound_mail::{self, Block, Outcome};
use mailmesh_store::{
    Database, DatabaseSettings, Tx, account, account_status, grant, lease, mailbox, outbox,
    send_attempt,
};
use time::Duration;

use crate::attempt::sent;
use crate::sample::{self, LATER, NOW};
use crate::world::World;

/// Half of the 1,000 rows of a table that belong to one replica or client configuration.
const FEW_ROWS: i64 = 500;

/// What is removed together with an account, and the rest of its rows in parts: 1,000 rows of each table, found and deleted.
const PART: i64 = 2_500;

/// 20,000 rows a table: 200 accounts' mail, each replica with its share. `HUNDRED` and `THOUSAND` are so many times the factor.
const FILL: &str = "
    INSERT INTO accounts (account_id, key, name, is_enabled, direction, protocol, host, port,
        encryption, authorisation, login, from_addresses, folders, receive_existing,
        poll_interval_seconds, after_receive, max_connections, created_at, updated_at)
    SELECT gen_random_uuid(), 'a' || n, 'x', true,
           CASE WHEN n <= 200 THEN 'outbound' ELSE 'inbound' END, 'smtp', 'h', 25, 'none', 'none',
           'l', '{}', '{INBOX}', false, 60, 'delete', 1, now(), now()
    FROM generate_series(1, 20000) n;
    INSERT INTO account_status (account_id, state, changed_at)
    SELECT account_id, 'active', now() FROM accounts;
    INSERT INTO replicas SELECT gen_random_uuid(), 'all', now() + interval '1 hour'
    FROM generate_series(1, 20);
    INSERT INTO account_leases (account_id, replica_id)
    SELECT a.account_id, r.replica_id
    FROM (SELECT account_id, row_number() OVER (ORDER BY key) AS n FROM accounts) a
    LEFT JOIN (SELECT replica_id, row_number() OVER () AS n FROM replicas) r
        ON r.n = CASE WHEN a.n > 20 THEN 1 + a.n % 20 END;
    INSERT INTO mailbox_cursors SELECT account_id, 'INBOX', '1', 1, now(), NULL, now() FROM accounts;
    INSERT INTO received_mails (mail_id, account_id, folder, epoch, position, ordinal, sha256,
        size_bytes, chunks, is_post_action_due, recorded_at)
    SELECT gen_random_uuid(), account_id, 'INBOX', '1', n, n, sha256(n::text::bytea), 1, 1,
           n % 50 = 0, now()
    FROM accounts CROSS JOIN generate_series(1, HUNDRED) n WHERE direction = 'outbound';
    INSERT INTO outbound_mails (mail_id, account_id, idempotency_key, is_key_given, content_sha256,
        message_id, envelope_from, recipients, size_bytes, chunks, state, attempts, due_at,
        on_uncertain, claimed_by, created_at, finished_at)
    SELECT gen_random_uuid(), account_id, 'k' || m, true, '\\x00', 'm', 'f', '[]', 1, 1,
           CASE m WHEN 1 THEN 'queued' WHEN 2 THEN 'sending' WHEN 3 THEN 'uncertain'
                  WHEN 4 THEN CASE WHEN n < 20 THEN 'failed' ELSE 'sent' END ELSE 'sent' END,
           1, '2026-11-24 12:00Z', 'hold',
           (SELECT replica_id FROM account_leases l WHERE l.account_id = a.account_id),
           now(), CASE WHEN m > 3 THEN now() - make_interval(mins => m * 200 + n::integer) END
    FROM (SELECT account_id, row_number() OVER () AS n FROM accounts WHERE direction = 'outbound') a
    CROSS JOIN generate_series(1, HUNDRED) m;
    INSERT INTO send_attempts
    SELECT mail_id, 1, gen_random_uuid(), 'started', now() FROM outbound_mails;
    INSERT INTO outbox (replica_id, subject, event_id, headers, payload, created_at)
    SELECT r.replica_id, 'mail.sent.a', n::text, jsonb_build_array(jsonb_build_array('ce-source', 'mailmesh/outbound-sender')), '\\x00', now()
    FROM replicas r CROSS JOIN generate_series(1, THOUSAND) n;
    INSERT INTO outbox (replica_id, subject, event_id, headers, payload, created_at)
    SELECT heir.id, 'mail.sent.a', 'left-' || n, jsonb_build_array(jsonb_build_array('ce-source', 'mailmesh/of-the-dead')), '\\x00', now()
    FROM (SELECT gen_random_uuid() AS id OFFSET 0) heir CROSS JOIN generate_series(1, THOUSAND) n;
    INSERT INTO client_configurations (client_configuration_id, key, name, profile, client_id,
        scopes, is_inbound, is_outbound, created_at, updated_at)
    SELECT gen_random_uuid(), 'c' || n, 'x', 'google', 'x', '{}', true, true, now(), now()
    FROM generate_series(1, 20) n;
    INSERT INTO grants (grant_id, client_configuration_id, subject, scopes, state,
        access_token_sealed, generation, access_expires_at, refresh_due_at, created_at, updated_at)
    SELECT gen_random_uuid(), client_configuration_id, 's' || n, '{}', 'active', '\\x00', 1, now(),
           '2026-11-24 12:00Z'::timestamptz + make_interval(mins => n), now(), now()
    FROM client_configurations CROSS JOIN generate_series(1, THOUSAND) n;
    UPDATE grants SET access_token_sealed = '\\x01' || sha256('a') || sha256('b') || sha256('c');
    VACUUM ANALYZE;";

fn factor() -> Result<u32> {
    let given = std::env::var_os("TEST_PLAN_FACTOR").and_then(|text| text.into_string().ok());
    let factor = given.as_deref().unwrap_or("1").parse();
    factor.context("TEST_PLAN_FACTOR is no number")
}

struct Filled {
    world: World,
    settings: DatabaseSettings,
    account: AccountId,
    replica: ReplicaId,
    client: ClientConfigurationId,
    mails: Vec<MailId>,
    grants: Vec<GrantId>,
    /// When the mail that finished first did.
    oldest: i64,
}

impl Filled {
    async fn new() -> Result<Self> {
        let world = World::new().await?;
        world.database.close().await;
        let factor = factor()?;
        let fill = FILL
            .replace("HUNDRED", &(100 * factor).to_string())
            .replace("THOUSAND", &(1_000 * factor).to_string());
        for statement in fill.split_inclusive(';') {
            world.execute(statement).await?;
        }
        let account = "SELECT account_id FROM outbound_mails WHERE claimed_by IS NOT NULL LIMIT 1";
        let account: uuid::Uuid = world.read(account).await?;
        let replica =
            format!("SELECT replica_id FROM account_leases WHERE account_id = '{account}'");
        let client = "SELECT client_configuration_id FROM client_configurations LIMIT 1";
        let mails =
            "SELECT array_agg(mail_id) FROM (SELECT mail_id FROM outbound_mails LIMIT 10) m";
        let grants = "SELECT array_agg(grant_id) FROM (SELECT grant_id FROM grants LIMIT 10) g";
        let oldest = "SELECT extract(epoch FROM min(finished_at))::bigint FROM outbound_mails";
        let mails: Vec<uuid::Uuid> = world.read(mails).await?;
        let grants: Vec<uuid::Uuid> = world.read(grants).await?;
        Ok(Self {
            account: AccountId::from_uuid(account),
            replica: ReplicaId::from_uuid(world.read(&replica).await?),
            client: ClientConfigurationId::from_uuid(world.read(client).await?),
            mails: mails.into_iter().map(MailId::from_uuid).collect(),
            grants: grants.into_iter().map(GrantId::from_uuid).collect(),
            oldest: world.read(oldest).await?,
            settings: DatabaseSettings {
                max_connections: 1,
                ..world.settings()
            },
            world,
        })
    }

    /// Runs a statement and rolls it back; fails when it read many rows.
    async fn check(&self, name: &str, run: impl AsyncFnOnce(&mut Tx) -> Result<()>) -> Result<()> {
        self.check_up_to(FEW_ROWS, name, run).await
    }

    async fn check_up_to(
        &self,
        limit: i64,
        name: &str,
        run: impl AsyncFnOnce(&mut Tx) -> Result<()>,
    ) -> Result<()> {
        let before = self.world.rows_read().await?;
        let database = Database::connect(&self.settings).await?;
        let mut tx = database.begin().await?;
        run(&mut tx).await?;
        drop(tx);
        database.close().await;
        let read = self.world.rows_read().await? - before;
        ensure!(read <= limit, "{name} reads {read} rows");
        Ok(())
    }
}

#[tokio::test]
async fn hot_statements_read_no_more_than_they_need() -> Result<()> {
    let filled = Filled::new().await?;
    hot_statements(&filled).await?;

    // The plan that a statement gets once it has run often, whatever it is asked for.
    filled.world.force_generic_plans().await?;
    hot_statements(&filled).await
}

async fn hot_statements(filled: &Filled) -> Result<()> {
    sending(filled).await?;
    recovery(filled).await?;
    queue_lists(filled).await?;
    inbound(filled).await?;
    leases(filled).await?;
    events(filled).await?;
    tokens(filled).await
}

async fn sending(filled: &Filled) -> Result<()> {
    let Filled {
        account, replica, ..
    } = *filled;
    let mails = &filled.mails;
    filled
        .check("claim_due", async |tx| {
            let claimed = outbound_mail::claim_due(tx, replica, account, 50, LATER).await?;
            ensure!(claimed.len() == 1, "{} were claimed", claimed.len());
            Ok(())
        })
        .await?;
    filled
        .check("next_due", async |tx| {
            let due = outbound_mail::next_due(tx, &[account]).await?;
            ensure!(due.len() == 1, "{} are due", due.len());
            Ok(())
        })
        .await?;
    filled
        .check("insert", async |tx| {
            let mails = ["k1", "new"].map(|key| sample::outbound(account, key));
            outbound_mail::insert(tx, &mails, NOW).await?;
            Ok(())
        })
        .await?;
    filled
        .check("enter_committing", async |tx| {
            let attempts: Vec<(MailId, i32)> = mails.iter().map(|id| (*id, 1)).collect();
            let entered = send_attempt::enter_committing(tx, &attempts).await?;
            ensure!(entered.len() == mails.len(), "{} entered", entered.len());
            Ok(())
        })
        .await?;
    filled
        .check("record_outcomes", async |tx| {
            let outcomes: Vec<Outcome> = mails.iter().map(|id| sent(*id, 1)).collect();
            outbound_mail::record_outcomes(tx, &outcomes, NOW).await?;
            Ok(())
        })
        .await?;
    filled
        .check("cancel by key", async |tx| {
            outbound_mail::cancel(tx, account, None, Some("k1"), NOW).await?;
            Ok(())
        })
        .await
}

async fn recovery(filled: &Filled) -> Result<()> {
    let Filled {
        account, replica, ..
    } = *filled;
    let problem = sample::problem();
    filled
        .check("recover", async |tx| {
            let heir = sample::replica();
            let recovered = outbound_mail::recover(tx, &[account], heir, &problem, NOW).await?;
            ensure!(recovered.requeued.len() == 1, "{recovered:?}");
            Ok(())
        })
        .await?;
    filled
        .check("recover_lost", async |tx| {
            let moments = (LATER + Duration::days(9_999), NOW);
            let accounts = [account];
            let lost = outbound_mail::recover_lost(tx, &accounts, replica, &[], &problem, moments);
            ensure!(lost.await?.requeued.len() == 1, "nothing was lost");
            Ok(())
        })
        .await?;
    filled
        .check("block, tell and unblock", async |tx| {
            let block = Block {
                problem: &problem,
                until: LATER,
            };
            outbound_mail::block(tx, replica, account, block).await?;
            let untold = outbound_mail::list_untold(tx, account, LATER, 100).await?;
            ensure!(untold.len() == 1, "{} wait", untold.len());
            outbound_mail::unblock(tx, account).await?;
            Ok(())
        })
        .await?;
    filled
        .check("claim_uncertain", async |tx| {
            outbound_mail::claim_uncertain(tx, &[account], NOW, LATER, 100).await?;
            Ok(())
        })
        .await
}

async fn queue_lists(filled: &Filled) -> Result<()> {
    filled
        .check("drop_bodies", async |tx| {
            let oldest = time::OffsetDateTime::from_unix_timestamp(filled.oldest)?;
            let before = oldest + Duration::minutes(60);
            let dropped = outbound_mail::drop_bodies(tx, before, 50).await?;
            ensure!(!dropped.is_empty(), "no body was dropped");
            Ok(())
        })
        .await?;
    filled
        .check("delete_finished", async |tx| {
            let oldest = time::OffsetDateTime::from_unix_timestamp(filled.oldest)?;
            let before = oldest + Duration::minutes(60);
            let deleted = outbound_mail::delete_finished(tx, before, 50).await?;
            ensure!(!deleted.is_empty(), "nothing was deleted");
            Ok(())
        })
        .await?;
    filled
        .check("list a page", async |tx| {
            outbound_mail::list(tx, None, None, None, 50).await?;
            Ok(())
        })
        .await?;
    filled
        .check("list failed", async |tx| {
            let failed = Some(OutboundState::Failed);
            let page = outbound_mail::list(tx, None, failed, None, 10).await?;
            ensure!(page.len() == 10, "{} on a page", page.len());
            Ok(())
        })
        .await?;
    for state in [
        None,
        Some(OutboundState::Failed),
        Some(OutboundState::Queued),
    ] {
        filled
            .check("list an account", async |tx| {
                let of_account = Some(filled.account);
                outbound_mail::list(tx, of_account, state, None, 10).await?;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn inbound(filled: &Filled) -> Result<()> {
    let account = filled.account;
    filled
        .check("renumber_known", async |tx| {
            let mails = found_mails(2);
            let epoch = Epoch::of_uid_validity(2);
            let known = mailbox::renumber_known(tx, account, "INBOX", &epoch, &mails).await?;
            ensure!(known.len() == 50, "{} are known", known.len());
            Ok(())
        })
        .await?;
    filled
        .check("adopt_renamed", async |tx| {
            let (mails, former) = (found_mails(1), ["INBOX".to_owned()]);
            let known = mailbox::adopt_renamed(tx, account, "Renamed", &former, &mails).await?;
            ensure!(known.len() == 50, "{} are known", known.len());
            Ok(())
        })
        .await?;
    filled
        .check("list_post_actions", async |tx| {
            let due = mailbox::list_post_actions(tx, account, "INBOX", LATER, 100).await?;
            let ids: Vec<MailId> = due.iter().map(|action| action.mail_id).collect();
            mailbox::finish_post_actions(tx, &ids).await?;
            Ok(())
        })
        .await?;
    filled
        .check("record mails and cursors", async |tx| {
            let mails = [sample::received(account, 9), sample::received(account, 10)];
            mailbox::insert(tx, &mails, NOW).await?;
            let mut cursors = mailbox::list_cursors(tx, &[account]).await?;
            ensure!(cursors.len() == 1, "{} cursors", cursors.len());
            for cursor in &mut cursors {
                cursor.ordinal = 10;
            }
            mailbox::move_cursors(tx, &cursors, NOW).await?;
            Ok(())
        })
        .await?;
    filled
        .check("account status", async |tx| {
            account_status::set_proved(tx, &[sample::proof(account, NOW)]).await?;
            let mark = EventMark {
                stream_created_at: Some(NOW),
                sequence: 7,
            };
            event_mark::set(tx, &[(account, mark)]).await?;
            event_mark::find(tx, account).await?;
            account_status::list_by_ids(tx, &[account]).await?;
            Ok(())
        })
        .await?;
    filled
        .check_up_to(PART, "deleting an account", async |tx| {
            ensure!(account::delete(tx, account).await?, "it was not there");
            Ok(())
        })
        .await
}

fn found_mails(uid_validity: u64) -> Vec<FoundMail> {
    let mails = (1..=50_u32).map(|uid| FoundMail {
        ordinal: u64::from(uid),
        position: sample::position(uid_validity, uid),
        sha256: mailmesh_secrets::sha256(uid.to_string().as_bytes()),
    });
    mails.collect()
}

async fn leases(filled: &Filled) -> Result<()> {
    let replica = filled.replica;
    filled
        .check("acquire", async |tx| {
            let taken = lease::acquire(tx, replica, Direction::Inbound, 5).await?;
            let more = lease::acquire(tx, replica, Direction::Outbound, 5).await?;
            ensure!(taken.len() + more.len() >= 5, "few were taken");
            Ok(())
        })
        .await
}

const SOURCE: &str = "mailmesh/outbound-sender";
/// Of a replica that has no row any more.
const OF_THE_DEAD: &str = "mailmesh/of-the-dead";

async fn events(filled: &Filled) -> Result<()> {
    let replica = filled.replica;
    filled
        .check("outbox list and delete", async |tx| {
            let rows = outbox::list(tx, replica, 50).await?;
            ensure!(rows.len() == 50, "{} rows", rows.len());
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            Ok(outbox::delete(tx, &ids).await?)
        })
        .await?;
    filled
        .check("adopt", async |tx| {
            ensure!(outbox::adopt(tx, replica, SOURCE, 100).await? == 0);
            Ok(())
        })
        .await?;
    filled
        .check("adopt from the dead", async |tx| {
            let adopted = outbox::adopt(tx, replica, OF_THE_DEAD, 50).await?;
            ensure!(adopted == 50, "{adopted} were adopted");
            Ok(())
        })
        .await
}

async fn tokens(filled: &Filled) -> Result<()> {
    let (client, grants) = (filled.client, &filled.grants);
    let claiming = sample::claiming(sample::replica());
    filled
        .check("grant claim_due", async |tx| {
            let claimed = grant::claim_due(tx, &claiming, LATER, 20).await?;
            ensure!(claimed.len() == 20, "{} were claimed", claimed.len());
            Ok(())
        })
        .await?;
    filled
        .check("grant next_due_at", async |tx| {
            grant::next_due_at(tx, &claiming).await?;
            Ok(())
        })
        .await?;
    filled
        .check("grants by id and subject", async |tx| {
            grant::list_by_ids(tx, grants).await?;
            grant::find_by_subject(tx, client, "s5").await?;
            Ok(())
        })
        .await
}
