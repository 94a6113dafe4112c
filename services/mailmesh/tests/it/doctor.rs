//! What `mailmesh doctor` says of accounts: whose turn it is, and to do what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mailmesh_domain::{
    AccountState, Clock as _, FailureCause, GrantId, GrantState, Key, Protocol, SystemClock,
};
use mailmesh_events::Problem;
use mailmesh_secrets::{ExposeSecret, OpeningKeys};
use mailmesh_store::account::Account;
use mailmesh_store::account_status;
use mailmesh_store::grant::{self, Grant};
use mailmesh_testkit::{MailHost, MeshBase, use_grant};

use crate::command::{Folder, run};

const LOGIN: &str = "support@example.com";

/// A mesh whose mail server is not there.
struct World {
    base: MeshBase,
    host: MailHost,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let host = MailHost {
            imap_port: 1,
            pop3_port: 1,
            smtp_port: 1,
            ca_pem: String::new(),
        };
        let base = MeshBase::fresh(Arc::new(SystemClock)).await?;
        Ok(Self { base, host })
    }

    async fn account(&self, key: &str, change: impl FnOnce(&mut Grant)) -> anyhow::Result<Account> {
        let mut client = self.base.client_row(key)?;
        client.key = Key::try_new(key)?;
        self.base.insert_client(&client).await?;
        let id = GrantId::generate(&SystemClock);
        let mut grant = self.base.grant_row(id, client.id, LOGIN, "token")?;
        change(&mut grant);
        self.base.save_grant(&grant).await?;
        let mut account = self
            .base
            .account_row(&self.host, key, Protocol::Imap, LOGIN)?;
        account.ca_pem = None;
        use_grant(&mut account, client.id, id);
        self.base.insert_account(&account).await?;
        Ok(account)
    }

    /// Makes an account whose grant was not refreshed.
    async fn refused(&self, key: &str, state: GrantState, problem: &Problem) -> anyhow::Result<()> {
        let account = self.account(key, expire).await?;
        let grant = self
            .base
            .grant(account.grant_id.context("no grant")?)
            .await?;
        let now = SystemClock.now();
        let mut tx = self.base.begin().await?;
        grant::record_failure(&mut tx, &grant, state, problem, now, now).await?;
        Ok(tx.commit().await?)
    }

    async fn fail(&self, account: &Account, problem: &Problem) -> anyhow::Result<()> {
        let state = AccountState::Failing;
        self.base
            .set_account_state(account, state, Some(problem))
            .await
    }

    async fn doctor(&self) -> anyhow::Result<String> {
        doctor(&self.base).await
    }
}

/// Runs `mailmesh doctor` over a mesh with something to find.
pub(crate) async fn doctor(base: &MeshBase) -> anyhow::Result<String> {
    let folder = Folder::new("doctor");
    let keys = base.keys.to_file_text()?;
    doctor_with(base, &folder.write("opening.key", keys.expose_secret())).await
}

async fn doctor_with(base: &MeshBase, key_file: &str) -> anyhow::Result<String> {
    let address = &base.address;
    let ended = run(
        &["doctor"],
        &[
            ("MAILMESH_NATS__URL", &address.bus.url),
            ("MAILMESH_NATS__PREFIX", base.prefix()),
            (
                "MAILMESH_POSTGRES__URL",
                address.postgres_url.expose_secret(),
            ),
            ("MAILMESH_KEYS__OPENING_KEY_FILE", key_file),
        ],
    )
    .await;
    anyhow::ensure!(ended.code == Some(1), "{}", ended.output);
    Ok(ended.output)
}

fn expire(grant: &mut Grant) {
    grant.access_expires_at = SystemClock.now() - Duration::from_hours(1);
}

/// Returns what is said of an account, without its address.
fn said<'a>(output: &'a str, key: &str) -> Vec<&'a str> {
    let mut lines = output.lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains(&format!("account {key} ")) {
            said.push(line.rsplit_once("): ").map_or(line, |(_, rest)| rest));
            said.extend(lines.next().map(str::trim));
        }
    }
    said
}

#[tokio::test]
async fn a_stored_refusal_is_told_with_who_must_act() {
    let world = World::new().await.unwrap();
    let problem = Problem::new("The provider refuses the grant.", FailureCause::GrantDead)
        .with_code(Some("invalid_grant".to_owned()));
    let refused = world.refused("refused", GrantState::SignInRequired, &problem);
    refused.await.unwrap();
    let account = world.account("failing", |_| {}).await.unwrap();
    let problem = Problem::new("IMAP is turned off", FailureCause::TenantForbids);
    world.fail(&account, &problem).await.unwrap();

    let output = world.doctor().await.unwrap();

    assert_eq!(
        said(&output, "refused"),
        [
            "The provider refuses the grant (invalid_grant)",
            "→ Sign in again for this mailbox: the provider no longer accepts the earlier sign-in. POST /v1/accounts/refused/sign-in makes the link. Who must act: the mailbox's owner.",
        ],
        "{output}"
    );
    let failing = said(&output, "failing");
    assert_eq!(failing.len(), 2, "one finding: {output}");
    assert!(
        failing[0].starts_with("IMAP is turned off; just now: "),
        "{output}"
    );
    assert!(failing[0].contains("connect"), "{output}");
    assert!(
        failing[1].ends_with("Who must act: the administrator of the provider's tenant."),
        "{output}"
    );
    for name in ["MailboxOwner", "NeedsSignIn", "Transient"] {
        assert!(!output.contains(name), "{output}");
    }
}

#[tokio::test]
async fn a_silent_server_keeps_no_other_account_waiting() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new().await.unwrap();
    world.account("b-refused", |_| {}).await.unwrap();
    world.host.imap_port = silent.local_addr().unwrap().port();
    world.account("a-silent", |_| {}).await.unwrap();

    let output = world.doctor().await.unwrap();

    let line = |key: &str| output.lines().position(|line| line.contains(key)).unwrap();
    assert!(
        line("account b-refused") < line("account a-silent"),
        "{output}"
    );
}

#[tokio::test]
async fn a_key_file_that_is_not_there_is_no_reason_to_make_another() {
    let world = World::new().await.unwrap();
    let account = world.account("failing", |_| {}).await.unwrap();
    let problem = Problem::new("IMAP is turned off", FailureCause::Transient);
    world.fail(&account, &problem).await.unwrap();

    let output = doctor_with(&world.base, "/nowhere/opening.key").await;

    let output = output.unwrap();
    assert!(
        output.contains("→ Name the key file that the services use."),
        "{output}"
    );
    assert!(!output.contains("mailmesh keys"), "{output}");
    assert_eq!(
        said(&output, "failing")[0],
        "IMAP is turned off",
        "{output}"
    );
}

#[tokio::test]
async fn keys_that_open_nothing_stored_are_a_finding() {
    let world = World::new().await.unwrap();
    world.account("support", |_| {}).await.unwrap();
    let others = OpeningKeys::generate().unwrap();
    let folder = Folder::new("doctor");
    let text = others.to_file_text().unwrap();
    let file = folder.write("opening.key", text.expose_secret());

    let output = doctor_with(&world.base, &file).await.unwrap();

    let lacked = world.base.keys.key_ids()[0];
    let told = format!("do not open: the key file lacks the keys {lacked}");
    assert!(output.contains(&told), "{output}");
    assert!(output.contains("→ Restore the key file"), "{output}");
    let account = said(&output, "support");
    assert!(account[0].contains(&lacked.to_string()), "{output}");
}

#[tokio::test]
async fn an_account_that_the_services_read_needs_nobody_if_one_more_sign_in_fails() {
    let world = World::new().await.unwrap();
    world.base.beat_services().await.unwrap();
    for (key, proved_before) in [("watched", 1), ("silent", 3_600)] {
        let account = world.account(key, |_| {}).await.unwrap();
        let mut tx = world.base.begin().await.unwrap();
        let proved = [world
            .base
            .proof(&account, Duration::from_secs(proved_before))];
        account_status::set_proved(&mut tx, &proved).await.unwrap();
        tx.commit().await.unwrap();
    }

    let output = world.doctor().await.unwrap();

    let watched = said(&output, "watched");
    assert!(watched[0].contains("read by the services"), "{output}");
    let silent = said(&output, "silent");
    assert!(silent[0].contains("connect"), "{output}");
}

#[tokio::test]
async fn an_expired_token_blames_no_mailbox_owner() {
    let world = World::new().await.unwrap();
    world.account("late", expire).await.unwrap();
    let problem = Problem::new("The provider answers 503", FailureCause::Transient);
    let unlucky = world.refused("unlucky", GrantState::Active, &problem);
    unlucky.await.unwrap();

    let output = world.doctor().await.unwrap();

    let late = said(&output, "late");
    assert!(late[0].contains("access token has ended"), "{output}");
    assert!(late[1].contains("token-refresh"), "{output}");
    let unlucky = said(&output, "unlucky");
    assert_eq!(
        unlucky,
        [
            "The provider answers 503",
            "→ Nothing: it is tried again by itself.",
        ],
        "{output}"
    );
    assert!(!output.contains("owner"), "{output}");
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_a_finding() {
    let world = World::new().await.unwrap();
    world.base.set_read_only(true).await.unwrap();

    let output = world.doctor().await.unwrap();

    world.base.set_read_only(false).await.unwrap();
    assert!(output.contains("BAD   writing to Postgres"), "{output}");
    assert!(output.contains("read-only"), "{output}");
}
