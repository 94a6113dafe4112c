//! One database, one subject prefix, one sandbox, one clock and one service per test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use mailmesh_auth_callback::{Config, Service};
use mailmesh_bus::{Bus, BusSettings, StreamSettings};
use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, ClientConfigurationId, Clock, Encryption, Key,
    ManualClock, Protocol, SignInId, SystemClock,
};
use mailmesh_replica::{Connections, PublicSettings};
use mailmesh_sandbox::{ClientSettings, MailboxSettings, Sandbox, Visitor};
use mailmesh_secrets::{ExposeSecret, OpeningKeys, SecretString, random_token, sha256};
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{Database, DatabaseSettings, outbox, sign_in};
use mailmesh_testkit::{TestServers, eventually, free_port, fresh_prefix};
use reqwest::header::LOCATION;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) const ALICE: &str = "alice@sandbox.test";
pub(crate) const BOB: &str = "bob@sandbox.test";
pub(crate) const CLIENT_ID: &str = "mesh";
pub(crate) const CLIENT_SECRET: &str = "client-secret-to-hide";
const MIB: u64 = 1024 * 1024;

pub(crate) struct World {
    pub(crate) connections: Connections,
    pub(crate) sandbox: Sandbox,
    pub(crate) keys: OpeningKeys,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: ClientConfiguration,
    pub(crate) url: Url,
    public: PublicSettings,
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
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
        let connections = connections().await?;
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let port = free_port();
        let public = PublicSettings {
            url: Url::parse(&format!("http://127.0.0.1:{port}{path}"))?,
            redirect_path: "/receiveTokenAuthentication.htm".to_owned(),
        };
        let sandbox = sandbox(&clock, &public.redirect_uri(), adjust_provider).await?;
        let keys = OpeningKeys::generate().map_err(|_| anyhow!("no keys"))?;
        let mut client = client(&keys, &sandbox, &*clock)?;
        adjust_client(&mut client, &sandbox);
        let mut tx = connections.database.begin().await?;
        client_configuration::insert(&mut tx, &client).await?;
        tx.commit().await?;
        let config = Config {
            listen: ([127, 0, 0, 1], port).into(),
        };
        let url = public.url.clone();
        let service = Service::build(
            config,
            public.clone(),
            keys.clone(),
            &connections,
            Arc::clone(&clock) as Arc<dyn Clock>,
        )
        .await?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run(stop.clone()));
        Ok(Self {
            connections,
            sandbox,
            keys,
            clock,
            client,
            url,
            public,
            stop,
            tasks,
        })
    }

    pub(crate) async fn account(&self, key: &str, protocol: Protocol) -> Result<Account> {
        let mail = self.sandbox.addresses().mail;
        let port = match protocol {
            Protocol::Imap => mail.imap_tls.port(),
            Protocol::Smtp => mail.smtp_tls.port(),
        };
        let now = self.clock.now();
        let account = Account {
            id: AccountId::generate(&*self.clock),
            key: Key::try_new(key)?,
            name: format!("Account {key}"),
            is_enabled: true,
            direction: protocol.direction(),
            protocol,
            host: "127.0.0.1".to_owned(),
            port,
            encryption: Encryption::Tls,
            authorisation: Authorisation::OAuth2,
            login: "Alice@Sandbox.test".to_owned(),
            password: None,
            client_configuration_id: Some(self.client.id),
            grant_id: None,
            from_addresses: Vec::new(),
            folders: vec!["INBOX".to_owned()],
            receive_existing: true,
            poll_interval_seconds: 60,
            after_receive: AfterReceive::Keep,
            move_to: None,
            max_connections: 2,
            ca_pem: Some(self.sandbox.ca_pem().to_owned()),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.connections.database.begin().await?;
        account::insert(&mut tx, &account).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// Makes a one-time link, as the administration does.
    pub(crate) async fn link(&self, account: &Account) -> Result<Url> {
        let link = random_token(32);
        let now = self.clock.now();
        let mut tx = self.connections.database.begin().await?;
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
        let mut tx = self.connections.database.begin().await?;
        let account = account::list_by_ids(&mut tx, &[account.id]).await?.pop();
        let Some(id) = account.context("the account is gone")?.grant_id else {
            return Ok(None);
        };
        Ok(grant::list_by_ids(&mut tx, &[id]).await?.pop())
    }

    pub(crate) fn opened(&self, grant: &Grant) -> Result<(String, Option<String>)> {
        let access = self
            .keys
            .open(&grant.access_token, &Grant::access_context(grant.id))?;
        let refresh = grant.refresh_token.as_ref();
        let refresh = refresh
            .map(|sealed| self.keys.open(sealed, &Grant::refresh_context(grant.id)))
            .transpose()?;
        let text = |token: &SecretString| token.expose_secret().to_owned();
        Ok((text(&access), refresh.as_ref().map(text)))
    }

    pub(crate) async fn events(&self, subject: &str, count: usize) -> Result<Vec<Bytes>> {
        eventually("no event waits any more", async || {
            let mut tx = self.connections.database.begin().await?;
            match outbox::count(&mut tx).await? {
                0 => Ok(()),
                waiting => Err(anyhow!("{waiting} wait")),
            }
        })
        .await?;
        eventually(&format!("{count} of {subject}"), async || {
            let read = self.connections.bus.read_back(subject, 0)?;
            let found = read.collect_all().await?;
            if found.len() == count {
                return Ok(found.into_iter().map(|stored| stored.payload).collect());
            }
            Err(anyhow!("{} of {subject}", found.len()))
        })
        .await
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        let mut tx = self.connections.database.begin().await?;
        match outbox::count(&mut tx).await? {
            0 => Ok(()),
            waiting => Err(anyhow!("{waiting} events were not published")),
        }
    }
}

pub(crate) fn location(answer: &reqwest::Response, of: &Url) -> Result<Url> {
    let location = answer.headers().get(LOCATION);
    let location = location.with_context(|| format!("no redirect but {}", answer.status()))?;
    Ok(of.join(location.to_str()?)?)
}

async fn connections() -> Result<Connections> {
    let servers = TestServers::shared().await?;
    let bus = Bus::connect(&BusSettings {
        url: servers.nats_url().to_owned(),
        prefix: fresh_prefix(),
        streams: StreamSettings {
            events_max_bytes: 16 * MIB,
            mail_send_max_bytes: MIB,
            raw_max_bytes: MIB,
            dead_letters_max_bytes: MIB,
            ..StreamSettings::default()
        },
        ..BusSettings::default()
    })
    .await?;
    bus.ensure_streams().await?;
    let database = Database::connect(&DatabaseSettings {
        url: servers.fresh_database().await?,
        max_connections: 8,
        acquire_timeout: Duration::from_secs(10),
        ca_file: None,
    })
    .await?;
    Ok(Connections { database, bus })
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

fn client(keys: &OpeningKeys, sandbox: &Sandbox, clock: &dyn Clock) -> Result<ClientConfiguration> {
    let id = ClientConfigurationId::generate(clock);
    let context = ClientConfiguration::secret_context(id);
    let secret = SecretString::from(CLIENT_SECRET);
    let secret = keys.sealing_key().seal(&secret, &context);
    let now = clock.now();
    Ok(ClientConfiguration {
        id,
        key: Key::try_new("sandbox")?,
        name: "Sandbox".to_owned(),
        profile: "custom".to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Some(secret.map_err(|_| anyhow!("not sealed"))?),
        token_endpoint_auth: None,
        issuer: Some(sandbox.addresses().issuer.clone()),
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        jwks_url: None,
        revocation_url: None,
        scopes: ["openid", "email", "mail"].map(str::to_owned).to_vec(),
        identity_claim: None,
        extra_authorize_parameters: BTreeMap::new(),
        ca_pem: None,
        is_inbound: true,
        is_outbound: true,
        refusal: None,
        created_at: now,
        updated_at: now,
    })
}
