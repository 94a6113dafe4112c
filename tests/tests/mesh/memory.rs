//! Resident memory of services under bursts of large mails.

use std::sync::Arc;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailmesh_domain::{AccountId, AccountState, Protocol, SystemClock};
use mailmesh_embedded::Nats;
use mailmesh_sandbox::{Fault, FaultRule, MailboxSettings, Sandbox, Settings};
use mailmesh_store::account_status::StoredState;
use mailmesh_store::{account, account_status};
use mailmesh_testkit::{
    MailHost, MeshAddress, MeshBase, TestFolder, TestServers, eventually, own_nats_for,
};
use mailmesh_tests::{Mesh, ReplicaNumber, Service};

use crate::sample::Dice;

const MIB: u64 = 1024 * 1024;
const PASSWORD: &str = "correct horse";
const ADDRESS: &str = "one@sandbox.test";
/// What the settings allow for mail in these tests.
const MAIL_MEMORY: u64 = 32 * MIB;
/// Read buffers of the clients, a mail while it is built, and what the allocator returns to the system a second late.
const BESIDE: u64 = 96 * MIB;

/// Servers, provider and one service with one account.
struct Burst {
    base: MeshBase,
    mesh: Mesh,
    sandbox: Sandbox,
    replica: ReplicaNumber,
    /// Bytes that the idle service takes.
    idle: u64,
    _nats: Nats,
    _folder: TestFolder,
}

impl Burst {
    async fn start(service: Service, protocol: Protocol, settings: &str) -> Result<Self> {
        let folder = TestFolder::new("memory")?;
        let nats = own_nats_for(&folder, 32 * 1024 * 1024).await?;
        let database = TestServers::shared().await?.fresh_database().await?;
        let mut address = MeshAddress::on(&nats.url(), database);
        address.bus.streams.mail_send_max_bytes = 512 * MIB;
        address.bus.streams.raw_max_bytes = 1024 * MIB;
        let base = MeshBase::start(address, Arc::new(SystemClock)).await?;
        let mut mesh = Mesh::prepare(&base, settings).await?;
        let provider = Settings {
            mailboxes: vec![MailboxSettings {
                address: ADDRESS.to_owned(),
                password: PASSWORD.to_owned(),
            }],
            ..Settings::default()
        };
        let sandbox = Sandbox::start(provider, Arc::new(SystemClock)).await?;
        let (host, login) = (MailHost::from(&sandbox), (ADDRESS, PASSWORD));
        let mut account = base.password_account_row(&host, "one", protocol, login)?;
        account.max_connections = 10;
        base.insert_account(&account).await?;
        let replica = mesh.start_replica(service).await?;
        Ok(Self {
            idle: mesh.memory(replica)?.now,
            base,
            mesh,
            sandbox,
            replica,
            _nats: nats,
            _folder: folder,
        })
    }

    /// Waits until the account's mailbox is watched.
    async fn until_active(&self) -> Result<()> {
        eventually("the account is active", async || {
            let mut tx = self.base.begin().await?;
            let accounts = account::list(&mut tx).await?;
            let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
            let stored = account_status::list_stored(&mut tx, &ids).await?;
            let is_active = |(_, stored): &(_, StoredState)| stored.state == AccountState::Active;
            ensure!(stored.iter().any(is_active), "{stored:?}");
            Ok(())
        })
        .await
    }

    async fn until(&self, what: &str, count: usize, seen: impl AsyncFn() -> usize) -> Result<()> {
        eventually(what, async || {
            let seen = seen().await;
            ensure!(seen == count, "{seen} of {count}");
            Ok(())
        })
        .await
    }

    /// Fails if the service has ever taken more than its settings allow, with two messages of this size on their way.
    async fn finish(mut self, message_bytes: usize) -> Result<()> {
        let memory = self.mesh.memory(self.replica)?;
        let limit = self.idle + MAIL_MEMORY + BESIDE + 2 * message_bytes as u64;
        self.base.until_published().await?;
        self.mesh.stop_all().await?;
        ensure!(
            memory.peak <= limit,
            "{} MiB at most, {} MiB are allowed, {} MiB before the first mail",
            memory.peak / MIB,
            limit / MIB,
            self.idle / MIB
        );
        self.mesh.set_finished();
        Ok(())
    }
}

/// Base64 of octets that are the same in every run.
fn content(encoded_bytes: usize) -> String {
    let mut dice = Dice::new(7);
    let octets = (0..encoded_bytes / 4 * 3).map(|_| u8::try_from(dice.roll(256)).unwrap_or(0));
    STANDARD.encode(octets.collect::<Vec<u8>>())
}

/// Sends a burst through a server that is slow at first and then refuses some mails for now.
async fn send_burst(count: usize, bytes: usize) -> Result<()> {
    let settings = format!(
        "[outbound_sender]\nretry_delays_seconds = [1]\nraw_memory_bytes = {MAIL_MEMORY}\n"
    );
    let burst = Burst::start(Service::OutboundSender, Protocol::Smtp, &settings).await?;
    let faults = burst.sandbox.faults();
    let (stall, text) = (Fault::Stall { seconds: Some(2) }, "451 4.3.0 later");
    let refusal = Fault::Reply {
        text: text.to_owned(),
    };
    for (fault, count) in [(stall, 8), (refusal, 8)] {
        faults.add(FaultRule {
            count: Some(count),
            ..FaultRule::once("smtp.final_dot", fault)
        })?;
    }

    let content = content(bytes);
    for number in 0..count {
        let command = serde_json::json!({
            "account": "one", "to": "a@elsewhere.test", "subject": format!("large {number}"),
            "text": "t", "attachments": [{ "filename": "a.bin", "content": content }],
        });
        let command = command.to_string();
        burst.base.publish("mail.send", &[], command).await?;
    }
    let store = burst.sandbox.mail();
    let sent = async || store.outbox().len();
    burst.until("all mails are sent", count, sent).await?;
    burst.finish(bytes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_mails_of_five_megabytes_go_out_within_the_memory_of_the_settings() {
    send_burst(50, 5_500_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_of_twelve_megabytes_go_out_within_the_memory_of_the_settings() {
    // A debug build on a busy machine takes longer than a command may to build larger ones.
    send_burst(10, 12_000_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_mails_of_five_megabytes_come_in_within_the_memory_of_the_settings() {
    let settings =
        format!("[inbound_fetcher]\nmemory_bytes = {MAIL_MEMORY}\nparse_bytes = 4194304\n");
    let burst = Burst::start(Service::InboundFetcher, Protocol::Imap, &settings);
    let burst = burst.await.unwrap();
    burst.until_active().await.unwrap();
    let content = content(5_500_000);
    let lines: Vec<&[u8]> = content.as_bytes().chunks(76).collect();
    let file = String::from_utf8(lines.join(&b"\r\n"[..])).unwrap();
    for number in 0..50 {
        let raw = format!(
            "From: a@b.test\r\nTo: {ADDRESS}\r\nSubject: large {number}\r\nMIME-Version: 1.0\r\n\
             Content-Type: application/octet-stream; name=a.bin\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{file}\r\n"
        );
        let store = burst.sandbox.mail();
        store.deliver(ADDRESS, raw.into()).unwrap();
    }

    let published = async || {
        let stored = burst.base.stored("mail.received.one").await;
        stored.map_or(0, |stored| stored.len())
    };
    let done = burst.until("all mails are published", 50, published);
    done.await.unwrap();
    burst.finish(5_500_000).await.unwrap();
}
