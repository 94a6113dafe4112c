//! Tokens of mailboxes whose owners nobody asks.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use mailmesh_domain::{
    AccountState, ClientConfigurationId, Clock, Flow, GrantState, Key, MustAct, Protocol,
};
use mailmesh_sandbox::{ApplicationSettings, Fault, FaultRule, Personality};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::Grant;
use mailmesh_store::{RowSecret, account, account_status};
use mailmesh_testkit::{MailHost, eventually, within};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use crate::world::{CLIENT_ID, CLIENT_SECRET, World};

const ROBOT: &str = "robot@project.test";
const GMAIL: &str = "https://mail.google.com/";
/// Longer than a replica waits before it takes a claim over.
const TAKEOVER: Duration = Duration::from_mins(1);

struct App {
    world: World,
    client: ClientConfiguration,
    key: KeyPair,
}

async fn start(personality: Personality, flow: Flow) -> Result<App> {
    let world = World::new(personality).await?;
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let row = world.base.client_row(CLIENT_ID)?;
    let mut client = ClientConfiguration {
        key: Key::try_new("app")?,
        flow,
        ..row
    };
    let issuer = world.sandbox.addresses().issuer.clone();
    let application = |client_id: &str, scope: &str, public_key: String| ApplicationSettings {
        client_id: client_id.to_owned(),
        public_key,
        scopes: vec![scope.to_owned()],
        mailboxes: Vec::new(),
    };
    if flow == Flow::JwtBearer {
        "google_service_account".clone_into(&mut client.profile);
        client.token_url = Some(format!("{issuer}/token"));
        client.scopes = vec![GMAIL.to_owned()];
        let file = json!({
            "type": "service_account", "client_email": ROBOT, "client_id": "1045",
            "private_key_id": "k1", "private_key": key.serialize_pem(),
        });
        let context = ClientConfiguration::private_key_context(client.id);
        let sealed = world.base.seal(&file.to_string(), &context)?;
        client.private_key = RowSecret::Sealed(sealed);
        let application = application(ROBOT, GMAIL, key.public_key_pem());
        world.sandbox.register_application(application);
    } else {
        client.issuer = Some(issuer);
        client.scopes = vec!["mail".to_owned()];
        client.client_secret = world.base.seal_client_secret(client.id, CLIENT_SECRET)?;
        let application = application(CLIENT_ID, "mail", String::new());
        world.sandbox.register_application(application);
    }
    world.base.insert_client(&client).await?;
    Ok(App { world, client, key })
}

impl App {
    async fn mailbox(&self, name: &str) -> Result<()> {
        let address = format!("{name}@sandbox.test");
        self.world.sandbox.mail().create(&address, "password")?;
        self.account(name, &address, Protocol::Imap).await?;
        self.account(&format!("{name}-out"), &address, Protocol::Smtp)
            .await
    }

    async fn account(&self, key: &str, login: &str, protocol: Protocol) -> Result<()> {
        let host = MailHost::from(&self.world.sandbox);
        let mut row = self.world.base.account_row(&host, key, protocol, login)?;
        row.client_configuration_id = Some(self.client.id);
        let mut tx = self.world.base.begin().await?;
        account::insert(&mut tx, &row).await?;
        Ok(tx.commit().await?)
    }

    async fn until(
        &self,
        account: &str,
        limit: Duration,
        is_right: impl Fn(&Grant) -> bool,
    ) -> Result<Grant> {
        within(limit, account, async || {
            let found = self.world.base.grant_of(account).await?;
            let found = found.context("no grant yet")?;
            if is_right(&found) {
                return Ok(found);
            }
            Err(anyhow!(
                "{:?} {} {:?}",
                found.state,
                found.generation,
                found.problem
            ))
        })
        .await
    }

    async fn until_generation(&self, account: &str, generation: i64) -> Result<Grant> {
        let limit = Duration::from_secs(20);
        self.until(account, limit, |grant| grant.generation == generation)
            .await
    }

    async fn until_suspended(&self, account: &str) -> Result<Grant> {
        let limit = Duration::from_secs(20);
        self.until(account, limit, |grant| grant.state == GrantState::Suspended)
            .await
    }

    fn given(&self, to: &str) -> u64 {
        let counters = self.world.sandbox.oauth_counters();
        counters
            .mailboxes
            .get(to)
            .map_or(0, |counts| counts.app_tokens)
    }

    async fn refusal(&self) -> Result<Option<String>> {
        let mut tx = self.world.base.begin().await?;
        let found = client_configuration::find(&mut tx, self.client.id).await?;
        let refusal = found.context("the client is gone")?.refusal;
        Ok(refusal.map(|problem| problem.action))
    }

    /// As an administrator who has changed something.
    async fn correct(&self, id: ClientConfigurationId) -> Result<()> {
        let mut tx = self.world.base.begin().await?;
        let found = client_configuration::find(&mut tx, id).await?;
        let mut client = found.context("the client is gone")?;
        self.world.clock.advance(Duration::from_secs(1));
        client.updated_at = self.world.clock.now();
        client_configuration::update(&mut tx, &client).await?;
        Ok(tx.commit().await?)
    }

    fn refuse(&self, point: &str, code: u16, body: &str) -> Result<()> {
        let fault = Fault::Status {
            code,
            retry_after: None,
            body: Some(body.to_owned()),
        };
        self.world.fail_at(point, None, fault)
    }
}

#[tokio::test]
async fn a_client_gets_a_token_for_each_mailbox_and_again_before_it_ends() -> Result<()> {
    let app = start(Personality::Standard, Flow::ClientCredentials).await?;
    let replica = app.world.start().await?;

    app.mailbox("alice").await?;
    let grant = app.until_generation("alice", 1).await?;

    assert_eq!(
        (grant.flow, grant.subject.as_str()),
        (Flow::ClientCredentials, "alice@sandbox.test")
    );
    assert!(grant.refresh_token.is_none());
    assert_eq!(grant.scopes, ["mail"]);
    let other = app.world.base.grant_of("alice-out").await?;
    assert_eq!(
        other.map(|grant| grant.id),
        Some(grant.id),
        "both directions share it"
    );
    let tokens = app.world.base.opened(&grant)?;
    assert!(
        app.world
            .sandbox
            .tokens()
            .check_access(&tokens.access)
            .is_ok()
    );
    let published = &app.world.base;
    published
        .published(&format!("token.refreshed.{}", grant.id), 1)
        .await?;
    published
        .published("account.authenticated.alice", 1)
        .await?;

    app.world.advance(55);
    let next = app.until_generation("alice", 2).await?;

    assert_eq!(next.state, GrantState::Active);
    assert_eq!(app.given(CLIENT_ID), 2);
    published
        .published("account.authenticated.alice", 1)
        .await?;
    replica.stop().await
}

#[tokio::test]
async fn two_replicas_ask_once_for_each_mailbox_of_a_service_account() -> Result<()> {
    let app = start(Personality::Google, Flow::JwtBearer).await?;
    let replicas = [app.world.start().await?, app.world.start().await?];

    let names: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    for name in &names {
        app.mailbox(name).await?;
    }
    for name in &names {
        let grant = app.until_generation(name, 1).await?;
        assert_eq!(grant.scopes, [GMAIL]);
    }

    for name in &names {
        assert_eq!(app.given(&format!("{name}@sandbox.test")), 1, "{name}");
    }
    for replica in replicas {
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_lost_before_the_commit_is_asked_for_again() -> Result<()> {
    let app = start(Personality::Google, Flow::JwtBearer).await?;
    app.world
        .fail_at("oauth.after_token", Some(1), Fault::Stall { seconds: None })?;
    let replica = app.world.start().await?;
    app.mailbox("alice").await?;
    eventually("the provider has given a token", async || {
        app.given("alice@sandbox.test") == 1
    })
    .await?;

    replica.kill().await;
    app.world.sandbox.faults().clear();
    let left = app.until_generation("alice", 0).await?;
    assert!(!left.has_token());
    let sql = "UPDATE grants SET claim_expires_at = now() - interval '1 s'";
    app.world.base.execute_sql(sql).await?;
    let next = app.world.start().await?;
    let grant = app
        .until("alice", TAKEOVER, |grant| grant.generation == 1)
        .await?;

    assert_eq!((grant.id, grant.state), (left.id, GrantState::Active));
    assert_eq!(app.given("alice@sandbox.test"), 2);
    next.stop().await
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_again() -> Result<()> {
    let app = start(Personality::Google, Flow::JwtBearer).await?;
    app.refuse("oauth.token.jwt_bearer", 503, "")?;
    let replica = app.world.start().await?;
    app.mailbox("alice").await?;

    let failed = app
        .until("alice", TAKEOVER, |grant| grant.failures == 1)
        .await?;

    assert_eq!(failed.state, GrantState::Active, "nobody needs to act");
    let mut tx = app.world.base.begin().await?;
    let found = account::find_by_key(&mut tx, &Key::try_new("alice")?).await?;
    let id = found.context("no account")?.id;
    let status = account_status::list_by_ids(&mut tx, &[id]).await?;
    assert_eq!(status[0].state, AccountState::Unknown, "nothing is proved");
    assert!(
        status[0]
            .unreported
            .as_ref()
            .is_some_and(|why| why.code.is_some())
    );
    app.world.sandbox.faults().clear();
    app.world.advance(1);
    app.until_generation("alice", 1).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_key_that_is_refused_concerns_the_client_until_it_is_corrected() -> Result<()> {
    let app = start(Personality::Google, Flow::JwtBearer).await?;
    let other = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let application = |key: &KeyPair| ApplicationSettings {
        client_id: ROBOT.to_owned(),
        public_key: key.public_key_pem(),
        scopes: vec![GMAIL.to_owned()],
        mailboxes: Vec::new(),
    };
    app.world.sandbox.register_application(application(&other));
    let replica = app.world.start().await?;
    app.mailbox("alice").await?;
    app.mailbox("bob").await?;

    for name in ["alice", "bob"] {
        let grant = app.until_suspended(name).await?;
        assert_eq!(grant.account_state(), Some(AccountState::Failing));
    }

    app.world.base.published("client.refused.app", 1).await?;
    app.world
        .base
        .published("account.sign_in_required.alice", 0)
        .await?;
    let action = app.refusal().await?.context("no refusal")?;
    assert!(action.contains("private key"), "{action}");
    app.world
        .sandbox
        .register_application(application(&app.key));
    app.correct(app.client.id).await?;
    for name in ["alice", "bob"] {
        app.until_generation(name, 1).await?;
    }
    assert_eq!(app.refusal().await?, None);
    replica.stop().await
}

#[tokio::test]
async fn one_unknown_login_stops_no_other_mailbox() -> Result<()> {
    let app = start(Personality::Google, Flow::JwtBearer).await?;
    let replica = app.world.start().await?;

    app.account("gone", "gone@sandbox.test", Protocol::Imap)
        .await?;
    let gone = app.until_suspended("gone").await?;
    app.mailbox("alice").await?;
    app.until_generation("alice", 1).await?;

    let problem = gone.problem.context("no problem")?;
    assert_eq!(problem.must_act, MustAct::Administrator);
    assert!(problem.action.contains("login"));
    assert_eq!(app.refusal().await?, None);
    replica.stop().await
}

#[tokio::test]
async fn clock_certificate_and_secret_are_told_to_those_who_can_mend_them() -> Result<()> {
    let short_lived = r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}"#;
    let entra = |code: u32| format!(r#"{{"error":"invalid_client","error_codes":[{code}]}}"#);
    for (flow, point, status, body, told) in [
        (
            Flow::JwtBearer,
            "oauth.token.jwt_bearer",
            400,
            short_lived.to_owned(),
            "clock",
        ),
        (
            Flow::ClientCredentials,
            "oauth.token.client_credentials",
            401,
            entra(700_027),
            "certificate",
        ),
        (
            Flow::ClientCredentials,
            "oauth.token.client_credentials",
            401,
            entra(7_000_222),
            "new client secret",
        ),
    ] {
        let app = start(Personality::Standard, flow).await?;
        app.refuse(point, status, &body)?;
        let replica = app.world.start().await?;
        app.mailbox("alice").await?;

        let grant = app.until_suspended("alice").await?;

        let problem = grant.problem.context("no problem")?;
        let action = problem.action;
        assert!(action.contains(told), "{action}");
        assert_eq!(problem.must_act, MustAct::Administrator);
        app.world.base.published("client.refused.app", 1).await?;
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_mailbox_is_only_that_ones_fault() -> Result<()> {
    let app = start(Personality::Standard, Flow::JwtBearer).await?;
    let body = r#"{"error":"unauthorized_client","error_description":"Client is unauthorized to retrieve access tokens using this method."}"#;
    app.world.sandbox.faults().add(FaultRule {
        address: Some("alice@sandbox.test".to_owned()),
        count: None,
        ..FaultRule::once(
            "oauth.token.jwt_bearer",
            Fault::Status {
                code: 401,
                retry_after: None,
                body: Some(body.to_owned()),
            },
        )
    })?;
    let replica = app.world.start().await?;
    app.mailbox("alice").await?;
    let refused = app.until_suspended("alice").await?;
    app.mailbox("bob").await?;

    app.until_generation("bob", 1).await?;

    let problem = refused.problem.context("no problem")?;
    assert_eq!(problem.must_act, MustAct::TenantAdministrator);
    replica.stop().await
}
