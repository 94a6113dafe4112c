//! One database, one subject prefix, one sandbox and one clock per test.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use mailmesh_bus::{Bus, BusSettings, StreamSettings};
use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, ClientConfigurationId, Clock, Direction, Encryption,
    GrantId, GrantState, Key, ManualClock, Protocol, SystemClock,
};
use mailmesh_events::subject::TOKEN_REFRESH;
use mailmesh_events::token::RefreshToken;
use mailmesh_replica::{Connections, PublicSettings};
use mailmesh_sandbox::{ClientSettings, Fault, FaultRule, GrantRequest, Personality, Sandbox};
use mailmesh_secrets::{ExposeSecret, OpeningKeys, SecretString};
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{Database, DatabaseSettings, outbox};
use mailmesh_testkit::{TestServers, eventually, fresh_prefix};
use mailmesh_token_refresh::{Config, Service};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) const CLIENT_ID: &str = "mesh";
pub(crate) const CLIENT_SECRET: &str = "client-secret-to-hide";
const MIB: u64 = 1024 * 1024;
const ACCESS_SECONDS: u64 = 3_600;

pub(crate) struct World {
    pub(crate) connections: Connections,
    pub(crate) sandbox: Sandbox,
    pub(crate) keys: OpeningKeys,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: ClientConfiguration,
}

/// One replica of the service.
pub(crate) struct Replica {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl World {
    pub(crate) async fn new(personality: Personality) -> Result<Self> {
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
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let settings = mailmesh_sandbox::Settings {
            personality,
            access_token_seconds: ACCESS_SECONDS,
            clients: vec![ClientSettings {
                client_id: CLIENT_ID.to_owned(),
                client_secret: CLIENT_SECRET.to_owned(),
                redirect_uris: vec!["http://127.0.0.1:8026/oauth/callback".to_owned()],
            }],
            ..mailmesh_sandbox::Settings::default()
        };
        let sandbox = Sandbox::start(settings, Arc::clone(&clock) as Arc<dyn Clock>).await?;
        let keys = OpeningKeys::generate().map_err(|_| anyhow!("no keys"))?;
        let client = client(&keys, &sandbox, &*clock)?;
        let mut tx = database.begin().await?;
        client_configuration::insert(&mut tx, &client).await?;
        tx.commit().await?;
        Ok(Self {
            connections: Connections { database, bus },
            sandbox,
            keys,
            clock,
            client,
        })
    }

    pub(crate) async fn start(&self) -> Result<Replica> {
        let config = Config {
            poll_seconds: 1,
            ..Config::default()
        };
        let public = PublicSettings {
            url: Url::parse("http://127.0.0.1:8026")?,
            redirect_path: "/oauth/callback".to_owned(),
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let keys = self.keys.clone();
        let service = Service::build(config, public, keys, &self.connections, clock).await?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run(stop.clone()));
        Ok(Replica { stop, tasks })
    }

    /// Consents at the provider and stores what it gave, with one account of each direction.
    pub(crate) async fn grant(&self, name: &str) -> Result<Grant> {
        let address = format!("{name}@sandbox.test");
        self.sandbox.mail().create(&address, "password")?;
        let grant = self.new_grant(GrantId::generate(&*self.clock), &address, 1)?;
        let now = self.clock.now();
        let mut tx = self.connections.database.begin().await?;
        grant::save_sign_in(&mut tx, &grant, now).await?;
        for (key, protocol) in [
            (name.to_owned(), Protocol::Imap),
            (format!("{name}-out"), Protocol::Smtp),
        ] {
            let account = self.account(&key, protocol, &address, grant.id)?;
            account::insert(&mut tx, &account).await?;
        }
        tx.commit().await?;
        Ok(grant)
    }

    pub(crate) fn new_grant(&self, id: GrantId, address: &str, generation: i64) -> Result<Grant> {
        let tokens = self.sandbox.tokens().issue(&GrantRequest {
            address: address.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            scopes: vec!["openid".to_owned(), "mail".to_owned()],
            offline: true,
        });
        let seal = |text: &str, context| {
            let sealed = self
                .keys
                .sealing_key()
                .seal(&SecretString::from(text), &context);
            sealed.map_err(|_| anyhow!("not sealed"))
        };
        let now = self.clock.now();
        let refresh_token = tokens.refresh_token.context("no refresh token")?;
        Ok(Grant {
            id,
            client_configuration_id: self.client.id,
            subject: address.to_owned(),
            address: Some(address.to_owned()),
            scopes: tokens.scopes,
            state: GrantState::Active,
            problem: None,
            access_token: seal(&tokens.access_token, Grant::access_context(id))?,
            refresh_token: Some(seal(&refresh_token, Grant::refresh_context(id))?),
            generation,
            access_expires_at: now + Duration::from_secs(ACCESS_SECONDS),
            refresh_due_at: now + Duration::from_mins(50),
            refresh_expires_at: None,
            failures: 0,
        })
    }

    fn account(
        &self,
        key: &str,
        protocol: Protocol,
        login: &str,
        grant: GrantId,
    ) -> Result<Account> {
        let now = self.clock.now();
        Ok(Account {
            id: AccountId::generate(&*self.clock),
            key: Key::try_new(key)?,
            name: key.to_owned(),
            is_enabled: true,
            direction: protocol.direction(),
            protocol,
            host: "127.0.0.1".to_owned(),
            port: 1,
            encryption: Encryption::Tls,
            authorisation: Authorisation::OAuth2,
            login: login.to_owned(),
            password: None,
            client_configuration_id: Some(self.client.id),
            grant_id: Some(grant),
            from_addresses: Vec::new(),
            folders: match protocol.direction() {
                Direction::Inbound => vec!["INBOX".to_owned()],
                Direction::Outbound => Vec::new(),
            },
            receive_existing: true,
            poll_interval_seconds: 60,
            after_receive: AfterReceive::Keep,
            move_to: None,
            max_connections: 2,
            ca_pem: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    pub(crate) async fn reload(&self, grant: &Grant) -> Result<Grant> {
        let mut tx = self.connections.database.begin().await?;
        let found = grant::list_by_ids(&mut tx, &[grant.id]).await?.pop();
        found.context("the grant is gone")
    }

    pub(crate) async fn reload_client(&self) -> Result<ClientConfiguration> {
        let mut tx = self.connections.database.begin().await?;
        let found = client_configuration::find(&mut tx, self.client.id).await?;
        found.context("the client is gone")
    }

    /// Waits until a grant looks as it should, and returns it.
    pub(crate) async fn until(
        &self,
        what: &str,
        grant: &Grant,
        is_right: impl Fn(&Grant) -> bool,
    ) -> Result<Grant> {
        eventually(what, async || {
            let found = self.reload(grant).await?;
            if is_right(&found) {
                return Ok(found);
            }
            Err(anyhow!("{found:?}"))
        })
        .await
    }

    /// Waits for so many events of a subject, and for their outbox to be empty.
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

    pub(crate) async fn ask(&self, grant: &Grant, refused_generation: i64) -> Result<()> {
        let question = RefreshToken {
            grant_id: grant.id,
            refused_generation,
        };
        let payload = Bytes::from(serde_json::to_vec(&question)?);
        let bus = &self.connections.bus;
        bus.publish_core(TOKEN_REFRESH, &[], payload).await?;
        Ok(bus.flush().await?)
    }

    pub(crate) fn fail_refreshes(&self, count: Option<u64>, fault: Fault) -> Result<()> {
        self.fail_at("oauth.token.refresh", count, fault)
    }

    pub(crate) fn fail_at(&self, point: &str, count: Option<u64>, fault: Fault) -> Result<()> {
        self.sandbox.faults().add(FaultRule {
            count,
            ..FaultRule::once(point, fault)
        })?;
        Ok(())
    }

    pub(crate) fn advance(&self, minutes: u64) {
        self.clock.advance(Duration::from_mins(minutes));
    }

    pub(crate) fn refreshes(&self, grant: &Grant) -> (u64, u64) {
        let counters = self.sandbox.oauth_counters();
        let counts = counters.mailboxes.get(&grant.subject);
        counts.map_or((0, 0), |counts| {
            (counts.refreshes, counts.refused_refreshes)
        })
    }

    pub(crate) fn opened(&self, grant: &Grant) -> Result<[String; 2]> {
        let access = self
            .keys
            .open(&grant.access_token, &Grant::access_context(grant.id))?;
        let sealed = grant.refresh_token.as_ref().context("no refresh token")?;
        let refresh = self.keys.open(sealed, &Grant::refresh_context(grant.id))?;
        Ok([&access, &refresh].map(|token| token.expose_secret().to_owned()))
    }
}

impl Replica {
    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        Ok(())
    }
}

fn client(keys: &OpeningKeys, sandbox: &Sandbox, clock: &dyn Clock) -> Result<ClientConfiguration> {
    let id = ClientConfigurationId::generate(clock);
    let secret = seal_secret(keys, id, CLIENT_SECRET)?;
    let now = clock.now();
    Ok(ClientConfiguration {
        id,
        key: Key::try_new("sandbox")?,
        name: "Sandbox".to_owned(),
        profile: "custom".to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Some(secret),
        token_endpoint_auth: None,
        issuer: Some(sandbox.addresses().issuer.clone()),
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        jwks_url: None,
        revocation_url: None,
        scopes: ["openid", "mail"].map(str::to_owned).to_vec(),
        identity_claim: None,
        extra_authorize_parameters: std::collections::BTreeMap::new(),
        ca_pem: None,
        is_inbound: true,
        is_outbound: true,
        refusal: None,
        created_at: now,
        updated_at: now,
    })
}

pub(crate) fn seal_secret(
    keys: &OpeningKeys,
    id: ClientConfigurationId,
    secret: &str,
) -> Result<mailmesh_secrets::SealedSecret> {
    let context = ClientConfiguration::secret_context(id);
    let sealed = keys
        .sealing_key()
        .seal(&SecretString::from(secret), &context);
    sealed.map_err(|_| anyhow!("not sealed"))
}
