//! A mesh with a provider, browsers and `auth-callback`, and a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_accounts::Connections;
use mailmesh_auth_callback::{Config, Service};
use mailmesh_domain::{Clock, ManualClock, Protocol, SignInId, SystemClock};
use mailmesh_oauth::PublicSettings;
use mailmesh_sandbox::{ClientSettings, MailboxSettings, Sandbox, Visitor};
use mailmesh_secrets::{ExposeSecret, random_token, sha256};
use mailmesh_store::ServiceRole;
use mailmesh_store::account::Account;
use mailmesh_store::client_configuration::ClientConfiguration;
use mailmesh_store::grant::Grant;
use mailmesh_store::sign_in;
use mailmesh_testkit::{MailHost, MeshBase, RunningReplica, free_port};
use reqwest::header::LOCATION;
use url::Url;

pub(crate) const ALICE: &str = "alice@sandbox.test";
pub(crate) const BOB: &str = "bob@sandbox.test";
pub(crate) const CLIENT_ID: &str = "mesh";
pub(crate) const CLIENT_SECRET: &str = "client-secret-to-hide";

pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: ClientConfiguration,
    pub(crate) url: Url,
    public: PublicSettings,
    service: RunningReplica,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with(|_| {}, |_, _| {}).await
    }

    /// Serves below a path of the public URL.
    pub(crate) async fn at(path: &str) -> Result<Self> {
        Self::build(path, |_| {}, |_, _| {}).await
    }

    pub(crate) async fn with(
        adjust_provider: impl FnOnce(&mut mailmesh_sandbox::Settings),
        adjust_client: impl FnOnce(&mut ClientConfiguration, &Sandbox),
    ) -> Result<Self> {
        Self::build("", adjust_provider, adjust_client).await
    }

    async fn build(
        path: &str,
        adjust_provider: impl FnOnce(&mut mailmesh_sandbox::Settings),
        adjust_client: impl FnOnce(&mut ClientConfiguration, &Sandbox),
    ) -> Result<Self> {
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let port = free_port();
        let public = PublicSettings {
            url: Url::parse(&format!("http://127.0.0.1:{port}{path}"))?,
            redirect_path: "/receiveTokenAuthentication.htm".to_owned(),
        };
        let sandbox = sandbox(&clock, &public.redirect_uri(), adjust_provider).await?;
        let base = MeshBase::fresh(Arc::clone(&clock) as Arc<dyn Clock>).await?;
        let mut client = client(&base, &sandbox)?;
        adjust_client(&mut client, &sandbox);
        base.insert_client(&client).await?;
        let config = Config {
            listen: ([127, 0, 0, 1], port).into(),
            ..Config::default()
        };
        let (database, bus) = base.connections_of(ServiceRole::AuthCallback).await?;
        let service = Service::build(
            config,
            public.clone(),
            base.keys.clone(),
            &Connections::new(database, bus),
            Arc::clone(&base.clock),
        )
        .await?;
        Ok(Self {
            base,
            sandbox,
            clock,
            client,
            url: public.url.clone(),
            public,
            service: RunningReplica::start(|lifecycle| service.start(lifecycle)),
        })
    }

    pub(crate) async fn account(&self, key: &str, protocol: Protocol) -> Result<Account> {
        let host = MailHost::from(&self.sandbox);
        let login = "Alice@Sandbox.test";
        let mut account = self.base.account_row(&host, key, protocol, login)?;
        account.client_configuration_id = Some(self.client.id);
        if let Some(server) = &mut account.server {
            "127.0.0.1".clone_into(&mut server.host);
        }
        self.base.insert_account(&account).await?;
        Ok(account)
    }

    /// Makes a one-time link, as the administration does.
    pub(crate) async fn link(&self, account: &Account) -> Result<Url> {
        let link = random_token(32);
        let now = self.clock.now();
        let mut tx = self.base.begin().await?;
        sign_in::insert(
            &mut tx,
            SignInId::generate(&*self.clock),
            account.id,
            &sha256(link.expose_secret().as_bytes()),
            now + Duration::from_hours(24),
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(self.public.connect_url(link.expose_secret()))
    }

    /// Goes to the provider and consents, and returns the URL of the callback, unopened.
    pub(crate) async fn answer(&self, browser: &mut Visitor, link: &Url) -> Result<Url> {
        let started = browser.get(link).await?;
        let authorize = location(&started, link)?;
        let approved = browser.get(&authorize).await?;
        location(&approved, &authorize)
    }

    pub(crate) async fn grant_of(&self, account: &Account) -> Result<Option<Grant>> {
        self.base.grant_of(account.key.as_str()).await
    }

    pub(crate) async fn finish(self) -> Result<()> {
        self.service.stop().await?;
        self.base.check_published().await
    }
}

pub(crate) fn location(answer: &reqwest::Response, of: &Url) -> Result<Url> {
    let location = answer.headers().get(LOCATION);
    let location = location.with_context(|| format!("no redirect but {}", answer.status()))?;
    Ok(of.join(location.to_str()?)?)
}

async fn sandbox(
    clock: &Arc<ManualClock>,
    redirect_uri: &Url,
    adjust: impl FnOnce(&mut mailmesh_sandbox::Settings),
) -> Result<Sandbox> {
    let mailbox = |address: &str| MailboxSettings {
        address: address.to_owned(),
        password: "password".to_owned(),
    };
    let mut settings = mailmesh_sandbox::Settings {
        mailboxes: vec![mailbox(ALICE), mailbox(BOB)],
        auto_consent: true,
        clients: vec![ClientSettings {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            redirect_uris: vec![redirect_uri.to_string()],
        }],
        ..mailmesh_sandbox::Settings::default()
    };
    adjust(&mut settings);
    Ok(Sandbox::start(settings, Arc::clone(clock) as Arc<dyn Clock>).await?)
}

fn client(base: &MeshBase, sandbox: &Sandbox) -> Result<ClientConfiguration> {
    let row = base.client_row(CLIENT_ID)?;
    Ok(ClientConfiguration {
        client_secret: base.seal_client_secret(row.id, CLIENT_SECRET)?,
        issuer: Some(sandbox.addresses().issuer.clone()),
        scopes: ["openid", "email", "mail"].map(str::to_owned).to_vec(),
        ..row
    })
}
