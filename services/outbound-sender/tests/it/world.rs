//! A mesh of one or more senders, with a provider that misbehaves on cue.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mailmesh_bus::{BusSettings, Hint, Outgoing, StreamSettings, Subscription};
use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, Clock, Direction, Encryption, Key, MailId, Protocol,
    SystemClock,
};
use mailmesh_outbound_sender::{Config, Service};
use mailmesh_replica::{Connections, PostgresSettings};
use mailmesh_sandbox::{MailboxSettings, Sandbox, Settings};
use mailmesh_secrets::{OpeningKeys, SecretString};
use mailmesh_store::account::{self, Account};
use mailmesh_store::outbound_mail::{self, OutboundMail};
use mailmesh_store::outbox;
use mailmesh_testkit::{TestServers, eventually, fresh_prefix};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1024 * 1024;
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct World {
    pub(crate) connections: Connections,
    pub(crate) sandbox: Sandbox,
    pub(crate) keys: OpeningKeys,
    pub(crate) bus_settings: BusSettings,
    pub(crate) database_url: SecretString,
    events: Subscription,
    seen: Vec<Event>,
    ids: HashSet<String>,
    senders: JoinSet<Result<()>>,
    stop: CancellationToken,
}

/// An event as a subscriber sees it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let servers = TestServers::shared().await?;
        let database_url = servers.fresh_database().await?;
        let bus_settings = BusSettings {
            url: servers.nats_url().to_owned(),
            prefix: fresh_prefix(),
            streams: StreamSettings {
                events_max_bytes: 32 * MIB,
                mail_send_max_bytes: 32 * MIB,
                raw_max_bytes: 64 * MIB,
                dead_letters_max_bytes: 8 * MIB,
                ..StreamSettings::default()
            },
            ..BusSettings::default()
        };
        let connections = connect(&database_url, &bus_settings).await?;
        let events = connections.bus.subscribe("*.*.*", None).await?;
        let mailboxes = ["one@sandbox.test", "two@sandbox.test", "rcpt@sandbox.test"];
        let settings = Settings {
            mailboxes: mailboxes.map(mailbox).to_vec(),
            ..Settings::default()
        };
        Ok(Self {
            sandbox: Sandbox::start(settings, Arc::new(SystemClock)).await?,
            keys: OpeningKeys::generate()?,
            connections,
            bus_settings,
            database_url,
            events,
            seen: Vec::new(),
            ids: HashSet::new(),
            senders: JoinSet::new(),
            stop: CancellationToken::new(),
        })
    }

    /// A world with one account `one` that signs in with a password, and one sender.
    pub(crate) async fn with_sender() -> Result<(Self, Account)> {
        let mut world = Self::new().await?;
        let account = world.add_account("one", 1).await?;
        world.start_sender(quick()).await?;
        Ok((world, account))
    }

    pub(crate) async fn start_sender(&mut self, config: Config) -> Result<CancellationToken> {
        let keys = self.keys.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let service = Service::build(config, keys, &self.connections, clock).await?;
        let stop = self.stop.child_token();
        self.senders.spawn(service.run(stop.clone()));
        Ok(stop)
    }

    pub(crate) fn password_account(&self, key: &str, max_connections: u32) -> Result<Account> {
        let id = AccountId::generate(&SystemClock);
        let password = SecretString::from(PASSWORD);
        let sealing = self.keys.sealing_key();
        let now = SystemClock.now();
        Ok(Account {
            id,
            key: Key::try_new(key)?,
            name: key.to_owned(),
            is_enabled: true,
            direction: Direction::Outbound,
            protocol: Protocol::Smtp,
            host: "localhost".to_owned(),
            port: self.sandbox.addresses().mail.smtp_tls.port(),
            encryption: Encryption::Tls,
            authorisation: Authorisation::Password,
            login: format!("{key}@sandbox.test"),
            password: Some(sealing.seal(&password, &Account::password_context(id))?),
            client_configuration_id: None,
            grant_id: None,
            from_addresses: vec![format!("{key}@sandbox.test")],
            folders: Vec::new(),
            receive_existing: false,
            poll_interval_seconds: 60,
            after_receive: AfterReceive::Keep,
            move_to: None,
            max_connections,
            ca_pem: Some(self.sandbox.ca_pem().to_owned()),
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    pub(crate) async fn add_account(&self, key: &str, max_connections: u32) -> Result<Account> {
        let account = self.password_account(key, max_connections)?;
        self.insert(&account).await?;
        Ok(account)
    }

    pub(crate) async fn insert(&self, account: &Account) -> Result<()> {
        let mut tx = self.connections.database.begin().await?;
        account::insert(&mut tx, account).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn publish(&self, subject: &str, body: impl Into<Vec<u8>>) -> Result<u64> {
        self.publish_with(subject, &[], body).await
    }

    pub(crate) async fn publish_with(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<u64> {
        let headers = headers.iter();
        let outgoing = Outgoing {
            subject: subject.to_owned(),
            message_id: String::new(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            payload: body.into().into(),
        };
        Ok(self.connections.bus.publish(outgoing).await?.sequence)
    }

    /// Waits for the next event of this name; those of other names stay to be asked for.
    pub(crate) async fn event(&mut self, name: &str) -> Result<Value> {
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(place) = self.seen.iter().position(|event| event.name == name) {
                return Ok(self.seen.remove(place).body);
            }
            let next = tokio::time::timeout_at(limit, self.events.next()).await;
            match next {
                Ok(Some(hint)) => self.note(&hint)?,
                Ok(None) => bail!("the subscription ended"),
                Err(_) => bail!(
                    "no {name}; seen: {:?}; mails: {:?}",
                    self.seen,
                    self.mails().await
                ),
            }
        }
    }

    /// Takes an event once: on its way to the stream, which stores it once, it may come again when
    /// a replica stops.
    fn note(&mut self, hint: &Hint) -> Result<()> {
        let subject = hint.subject.as_str();
        let (name, _key) = subject.rsplit_once('.').context("a subject with a key")?;
        if !["mail.", "account."]
            .iter()
            .any(|start| name.starts_with(start))
            || ["mail.send", "mail.cancel"].contains(&name)
        {
            return Ok(());
        }
        let id = hint.headers.iter().find(|(name, _)| name == "ce-id");
        if id.is_some_and(|(_, id)| !self.ids.insert(id.clone())) {
            return Ok(());
        }
        let body = serde_json::from_slice(&hint.payload).with_context(|| subject.to_owned())?;
        let name = name.to_owned();
        self.seen.push(Event { name, body });
        Ok(())
    }

    pub(crate) async fn mails(&self) -> Result<Vec<OutboundMail>> {
        let mut tx = self.connections.database.begin().await?;
        let mails = outbound_mail::list(&mut tx, None, None, None, 10_000).await?;
        tx.commit().await?;
        Ok(mails)
    }

    pub(crate) async fn mail(&self, event: &Value) -> Result<OutboundMail> {
        let id: MailId = serde_json::from_value(event["mail_id"].clone())?;
        let mut tx = self.connections.database.begin().await?;
        let mail = outbound_mail::find(&mut tx, id).await?;
        tx.commit().await?;
        mail.context("the mail is in the table")
    }

    /// What the recipients elsewhere got, by subject line.
    pub(crate) fn outbox_texts(&self) -> Vec<String> {
        let outbox = self.sandbox.mail().outbox();
        let texts = outbox
            .iter()
            .map(|one| String::from_utf8_lossy(&one.raw).into_owned());
        texts.collect()
    }

    /// Passes over the events of a name that nobody counted.
    pub(crate) async fn forget(&mut self, name: &str) -> Result<()> {
        while let Ok(Some(hint)) =
            tokio::time::timeout(Duration::from_millis(500), self.events.next()).await
        {
            self.note(&hint)?;
        }
        self.seen.retain(|event| event.name != name);
        Ok(())
    }

    /// Fails on anything that was left over.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.senders.join_next().await {
            ended??;
        }
        let database = &self.connections.database;
        eventually("the outbox is empty", async || {
            let mut tx = database.begin().await?;
            let count = outbox::count(&mut tx).await?;
            tx.commit().await?;
            ensure!(count == 0, "{count} rows");
            Ok(())
        })
        .await?;
        while let Ok(Some(hint)) =
            tokio::time::timeout(Duration::from_millis(20), self.events.next()).await
        {
            self.note(&hint)?;
        }
        ensure!(self.seen.is_empty(), "unexpected events: {:?}", self.seen);
        Ok(())
    }
}

pub(crate) async fn connect(url: &SecretString, bus: &BusSettings) -> Result<Connections> {
    let postgres = PostgresSettings::of_url(url.clone(), 6);
    Ok(Connections::open(&postgres, bus).await?)
}

/// Settings with a schedule that tests can wait for.
pub(crate) fn quick() -> Config {
    Config {
        retry_delays_seconds: vec![1],
        sent_folder_delay_seconds: 1,
        final_reply_timeout_seconds: 20,
        ..Config::default()
    }
}

fn mailbox(address: &str) -> MailboxSettings {
    MailboxSettings {
        address: address.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

pub(crate) fn send_body(account: &str, to: &str, subject: &str) -> String {
    serde_json::json!({ "account": account, "to": to, "subject": subject, "text": "Hello" })
        .to_string()
}
