use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use mailmesh_domain::SystemClock;
use mailmesh_sandbox::{ClientSettings, Sandbox, Settings as SandboxSettings};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::account;
use mailmesh_store::grant::Grant;
use mailmesh_testkit::{Api, MeshAddress, MeshBase, check_no_secrets, eventually};
use serde_json::{Value, json};

use crate::events::Events;
use crate::mesh::{Mesh, ReplicaNumber, check_account_keys, check_no_errors};
use crate::replica::{Service, SignIn};

pub(crate) const CLIENT: &str = "sandbox";
const CLIENT_ID: &str = "mailmesh-e2e";
const CLIENT_SECRET: &str = "the-planted-client-secret-Qk7";

/// What a world begins with.
#[derive(Debug, Default)]
pub struct WorldSettings {
    /// Servers of the test's own, as URLs; those that all tests share otherwise.
    pub servers: Option<(String, SecretString)>,
    /// Servers of the test's own on which each service has a user of its own.
    pub locked: Option<Locked>,
    /// The provider.
    pub sandbox: SandboxSettings,
    /// One replica for each mention.
    pub services: Vec<Service>,
    /// Further sections of the configuration, as TOML.
    pub extra: String,
}

/// A mesh whose services sign in each as themselves.
#[derive(Debug)]
pub struct Locked {
    /// As whom the test itself signs in.
    pub address: MeshAddress,
    /// What each service is told.
    pub sign_ins: Vec<SignIn>,
}

/// What a test may leave behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leftovers {
    /// Dead letters that the test made on purpose.
    pub dead_letters: u64,
    /// Whether something broke that must be logged as an error.
    pub has_errors: bool,
}

/// A mesh, a provider, and all that a test needs to work on them.
#[derive(Debug)]
pub struct World {
    /// The processes.
    pub mesh: Mesh,
    /// The provider, in this process.
    pub sandbox: Sandbox,
    /// The admin API, with the first key.
    pub api: Api,
    /// What was published.
    pub events: Events,
    /// Its database, bus and keys.
    pub base: MeshBase,
    secrets: Vec<(String, String)>,
}

impl World {
    /// Starts servers, provider and services, and registers the OAuth client.
    ///
    /// # Errors
    ///
    /// Fails with the end of a log when a service does not come up.
    pub async fn start(settings: WorldSettings) -> anyhow::Result<Self> {
        let (address, sign_ins) = match (settings.locked, settings.servers) {
            (Some(locked), _) => (locked.address, locked.sign_ins),
            (None, Some((nats_url, postgres_url))) => {
                (MeshAddress::on(&nats_url, postgres_url), Vec::new())
            }
            (None, None) => (MeshAddress::fresh().await?, Vec::new()),
        };
        let base = MeshBase::connect(address, Arc::new(SystemClock)).await?;
        let mut mesh = Mesh::prepare(&base, &settings.extra).await?;
        mesh.sign_in_as(&base, sign_ins);
        let sandbox = start_sandbox(settings.sandbox, &mesh).await?;
        for number in launch_all(&mut mesh, &settings.services).await? {
            mesh.ready(number).await?;
        }
        let key = mesh.first_key().await?;
        let mut world = Self::assemble(base, mesh, sandbox, &key).await?;
        world.plant("client secret", CLIENT_SECRET);
        world.register_client().await?;
        Ok(world)
    }

    /// Puts together what runs already; `key` is an administrator's.
    pub(crate) async fn assemble(
        base: MeshBase,
        mesh: Mesh,
        sandbox: Sandbox,
        key: &SecretString,
    ) -> anyhow::Result<Self> {
        let mut world = Self {
            api: Api::try_new(&mesh.admin_url(), Some(key.clone()))?,
            events: Events::connect(&base.address.bus.url, base.prefix()).await?,
            base,
            mesh,
            sandbox,
            secrets: Vec::new(),
        };
        world.plant("first API key", key.expose_secret());
        Ok(world)
    }

    async fn register_client(&self) -> anyhow::Result<()> {
        let client = json!({
            "key": CLIENT,
            "profile": "custom",
            "issuer": self.sandbox.addresses().issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scopes": ["openid", "email", "offline_access"],
        });
        self.api.post("/v1/client-configurations", &client).await?;
        Ok(())
    }

    /// Publishes a command as plain JSON, as a business system would, and returns its sequence in the
    /// stream.
    ///
    /// # Errors
    ///
    /// Fails when the stream does not take it.
    pub async fn publish(&self, subject: &str, body: &Value) -> anyhow::Result<u64> {
        self.base.publish(subject, &[], body.to_string()).await
    }

    /// Returns the grant of an account.
    ///
    /// # Errors
    ///
    /// Fails when it has none.
    pub async fn grant(&self, account: &str) -> anyhow::Result<Grant> {
        let found = self.base.grant_of(account).await?;
        found.with_context(|| format!("{account} has no grant"))
    }

    /// Returns the access token of an account as the mesh keeps it; from here on it counts as a
    /// planted secret, and so does the refresh token.
    ///
    /// # Errors
    ///
    /// Fails when there is none or the test's key does not open it.
    pub async fn access_token(&mut self, account: &str) -> anyhow::Result<String> {
        let grant = self.grant(account).await?;
        let tokens = self.base.opened(&grant)?;
        let named = |kind: &str| format!("{kind} token {} of {account}", grant.generation);
        if let Some(refresh) = &tokens.refresh {
            self.plant(&named("refresh"), refresh);
        }
        self.plant(&named("access"), &tokens.access);
        Ok(tokens.access)
    }

    /// Names a text that must be found in no log and no stream.
    pub fn plant(&mut self, name: &str, secret: &str) {
        self.secrets.push((name.to_owned(), secret.to_owned()));
    }

    /// Waits until the account's own server was reached with its credentials.
    ///
    /// # Errors
    ///
    /// Fails with the account's state when it is not.
    pub async fn active(&self, account: &str) -> anyhow::Result<()> {
        let path = format!("/v1/accounts/{account}");
        eventually(&format!("{account} is active"), async || {
            let found = self.api.get(&path).await?;
            let state = found.get("state").and_then(Value::as_str);
            if state == Some("active") {
                return Ok(());
            }
            bail!("{found}")
        })
        .await
    }

    /// Stops everything and fails on what is left behind.
    ///
    /// # Errors
    ///
    /// Says what is left, and where.
    pub async fn finish(mut self, leftovers: Leftovers) -> anyhow::Result<()> {
        self.base.until_published().await?;
        eventually("every command is taken", async || {
            let waiting = self.events.count("MAIL_SEND").await?;
            ensure!(waiting == 0, "{waiting} wait");
            anyhow::Ok(())
        })
        .await?;
        let logs = self.mesh.stop_all().await?;
        let dead = self.events.count("DEAD_LETTERS").await?;
        ensure!(
            dead == leftovers.dead_letters,
            "{dead} dead letters instead of {}",
            leftovers.dead_letters
        );
        if !leftovers.has_errors {
            check_no_errors(&logs)?;
        }
        check_account_keys(&logs)?;
        // Those that came with later refreshes, too.
        let mut tx = self.base.begin().await?;
        let accounts = account::list(&mut tx).await?;
        drop(tx);
        for account in accounts.iter().filter(|account| account.grant_id.is_some()) {
            self.access_token(account.key.as_str()).await?;
        }
        // The first key is written to the terminal on purpose, once, and nowhere else.
        let key_line = |line: &&str| !line.contains("shown this once");
        let logs = logs.into_iter().map(|(name, text)| {
            let lines: Vec<&str> = text.lines().filter(key_line).collect();
            (name, lines.join("\n"))
        });
        check_no_secrets(&self.secrets, logs)?;
        check_no_secrets(&self.secrets, self.events.everything().await?)?;
        self.events.delete_streams().await?;
        self.base.database.close().await;
        self.sandbox.stop().await;
        self.mesh.set_finished();
        Ok(())
    }
}

pub(crate) async fn launch_all(
    mesh: &mut Mesh,
    services: &[Service],
) -> anyhow::Result<Vec<ReplicaNumber>> {
    let services = if services.is_empty() {
        Service::ALL.as_slice()
    } else {
        services
    };
    let mut numbers = Vec::new();
    for service in services {
        numbers.push(mesh.launch(*service).await?);
    }
    Ok(numbers)
}

async fn start_sandbox(mut settings: SandboxSettings, mesh: &Mesh) -> anyhow::Result<Sandbox> {
    settings.clients.push(ClientSettings {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        redirect_uris: vec![format!("{}/oauth/callback", mesh.public_url())],
    });
    Ok(Sandbox::start(settings, Arc::new(SystemClock)).await?)
}
