//! A mesh with a provider whose tokens end, a clock that the test moves, and no service yet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use mailmesh_accounts::Connections;
use mailmesh_domain::{
    ClientConfigurationId, Clock, GrantId, Key, ManualClock, Protocol, SystemClock,
};
use mailmesh_events::token::RefreshToken;
use mailmesh_runtime::Lifecycle;
use mailmesh_sandbox::{ClientSettings, Fault, FaultRule, GrantRequest, Personality, Sandbox};
use mailmesh_store::ServiceRole;
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use mailmesh_testkit::{
    Freezable, MailHost, MeshBase, RunningReplica, ask_for_refresh, eventually,
};
use mailmesh_token_refresh::Config;

use crate::start::{build, start};

pub(crate) const CLIENT_ID: &str = "mesh";
pub(crate) const CLIENT_SECRET: &str = "client-secret-to-hide";

pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: ClientConfiguration,
}

impl World {
    pub(crate) async fn new(personality: Personality) -> Result<Self> {
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let settings = mailmesh_sandbox::Settings {
            personality,
            clients: vec![ClientSettings {
                client_id: CLIENT_ID.to_owned(),
                client_secret: CLIENT_SECRET.to_owned(),
                redirect_uris: vec!["http://127.0.0.1:8026/oauth/callback".to_owned()],
            }],
            ..mailmesh_sandbox::Settings::default()
        };
        let sandbox = Sandbox::start(settings, Arc::clone(&clock) as Arc<dyn Clock>).await?;
        let base = MeshBase::fresh(Arc::clone(&clock) as Arc<dyn Clock>).await?;
        let row = base.client_row(CLIENT_ID)?;
        let client = ClientConfiguration {
            client_secret: base.seal_client_secret(row.id, CLIENT_SECRET)?,
            issuer: Some(sandbox.addresses().issuer.clone()),
            scopes: ["openid", "mail"].map(str::to_owned).to_vec(),
            ..row
        };
        base.insert_client(&client).await?;
        Ok(Self {
            base,
            sandbox,
            clock,
            client,
        })
    }

    pub(crate) async fn start(&self) -> Result<RunningReplica> {
        let database = self.base.address.database_as(ServiceRole::TokenRefresh);
        start(self, Config::default(), database.await?).await
    }

    /// Starts a replica that can be frozen.
    pub(crate) fn start_freezable(&self) -> Freezable {
        let (keys, clock) = (self.base.keys.clone(), Arc::clone(&self.base.clock));
        let address = self.base.address.clone();
        Freezable::start(async move || {
            let (database, bus) = address.connect_as(ServiceRole::TokenRefresh).await?;
            let connections = Connections::new(database, bus);
            let service = build(Config::default(), keys, &connections, clock).await?;
            Ok(move |lifecycle: &Lifecycle| service.start(lifecycle))
        })
    }

    /// Consents at the provider and stores what it gave, with one account of each direction.
    pub(crate) async fn grant(&self, name: &str) -> Result<Grant> {
        let address = format!("{name}@sandbox.test");
        self.sandbox.mail().create(&address, "password")?;
        let grant = self.new_grant(GrantId::generate(&*self.clock), &address, 1)?;
        let host = MailHost::from(&self.sandbox);
        let mut tx = self.base.begin().await?;
        grant::save_sign_in(&mut tx, &grant, self.clock.now()).await?;
        for (key, protocol) in [
            (name.to_owned(), Protocol::Imap),
            (format!("{name}-out"), Protocol::Smtp),
        ] {
            let row = self.base.account_row(&host, &key, protocol, &address)?;
            let account = Account {
                client_configuration_id: Some(self.client.id),
                grant_id: Some(grant.id),
                ..row
            };
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
        let refresh_token = tokens.refresh_token.context("no refresh token")?;
        let context = Grant::refresh_context(id);
        Ok(Grant {
            scopes: tokens.scopes,
            refresh_token: Some(self.base.seal(&refresh_token, &context)?),
            generation,
            ..self
                .base
                .grant_row(id, self.client.id, address, &tokens.access_token)?
        })
    }

    /// Registers a client configuration whose endpoints are at this address.
    pub(crate) async fn client_at(
        &self,
        key: &str,
        address: SocketAddr,
    ) -> Result<ClientConfigurationId> {
        let row = self.base.client_row(CLIENT_ID)?;
        let endpoint = |path: &str| Some(format!("http://{address}/{path}"));
        let client = ClientConfiguration {
            key: Key::try_new(key)?,
            client_secret: self.base.seal_client_secret(row.id, CLIENT_SECRET)?,
            issuer: None,
            authorize_url: endpoint("authorize"),
            token_url: endpoint("token"),
            scopes: vec!["mail".to_owned()],
            ..row
        };
        self.base.insert_client(&client).await?;
        Ok(client.id)
    }

    pub(crate) async fn reload_client(&self) -> Result<ClientConfiguration> {
        let mut tx = self.base.begin().await?;
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
            let found = self.base.grant(grant.id).await?;
            if is_right(&found) {
                return Ok(found);
            }
            Err(anyhow!("{found:?}"))
        })
        .await
    }

    pub(crate) async fn ask(&self, grant: &Grant, refused_generation: i64) -> Result<()> {
        let question = RefreshToken {
            grant_id: grant.id,
            refused_generation,
        };
        ask_for_refresh(&self.base.bus, &question).await
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
}
