use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use mailmesh_domain::{ManualClock, SystemClock};
use mailmesh_embedded::Nats;
use mailmesh_sandbox::{Flags, MailboxSettings, Sandbox, Settings as SandboxSettings};
use mailmesh_secrets::OpeningKeys;
use mailmesh_testkit::{MeshAddress, MeshBase, TestFolder, TestServers, own_nats};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::mesh::Mesh;
use crate::replica::Service;
use crate::world::{World, launch_all};

/// The prefix of the streams in every dump.
const PREFIX: &str = "upgrade";

/// A mesh of today on the data of an earlier release; see `tests/upgrade/README.md`.
#[derive(Debug)]
pub struct Restored {
    /// The mesh; its provider has the mailboxes of the dump, with the same UIDs.
    pub world: World,
    /// Stopped last, as the mesh stands on it.
    _nats: Nats,
    _folder: TestFolder,
}

/// What the dump says beside its data.
#[derive(Debug, Deserialize)]
struct About {
    dumped_at: String,
    api_key: String,
    /// The sandbox's clock when it started: UIDVALIDITYs count from there.
    started_at: i64,
    mailboxes: Vec<DumpedMailbox>,
}

#[derive(Debug, Deserialize)]
struct DumpedMailbox {
    address: String,
    password: String,
    uid_validity: BTreeMap<String, u32>,
    mails: Vec<DumpedMail>,
}

#[derive(Debug, Deserialize)]
struct DumpedMail {
    folder: String,
    uid: u32,
    raw: String,
}

impl Restored {
    /// Restores the dump of this name, migrates it, and starts the services that hold mail.
    ///
    /// # Errors
    ///
    /// Fails when the dump cannot be read or migrated, and with the end of a log when a service does not come up.
    pub async fn start(dump: &str, extra: &str) -> anyhow::Result<Self> {
        let dump = dumps().join(dump);
        let about: About = serde_json::from_str(&read(&dump, "about.json")?)?;
        let sandbox = start_sandbox(&about).await?;
        let folder = TestFolder::new("restored")?;
        unpack(&dump, folder.path())?;
        let nats = own_nats(&folder).await?;
        let sql = format!(
            "{}{}",
            read(&dump, "postgres.sql")?,
            as_of_today(&about, &sandbox)?
        );
        let database = TestServers::shared().await?.restored_database(&sql).await?;

        let mut address = MeshAddress::on(&nats.url(), database);
        PREFIX.clone_into(&mut address.bus.prefix);
        let mut base = MeshBase::connect(address, Arc::new(SystemClock)).await?;
        base.keys = OpeningKeys::parse(&read(&dump, "opening.key")?.into())?;
        base.database.migrate().await?;
        let mut mesh = Mesh::prepare(&base, extra).await?;
        let services = [
            Service::Admin,
            Service::InboundFetcher,
            Service::OutboundSender,
        ];
        for number in launch_all(&mut mesh, &services).await? {
            mesh.ready(number).await?;
        }
        let mut world = World::assemble(base, mesh, sandbox, &about.api_key.into()).await?;
        for mailbox in &about.mailboxes {
            let name = format!("password of {}", mailbox.address);
            world.plant(&name, &mailbox.password);
        }
        Ok(Self {
            world,
            _nats: nats,
            _folder: folder,
        })
    }
}

fn dumps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("upgrade")
}

fn read(folder: &Path, name: &str) -> anyhow::Result<String> {
    let path = folder.join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Puts JetStream's files where a nats-server of this folder finds them.
fn unpack(dump: &Path, folder: &Path) -> anyhow::Result<()> {
    let nats = folder.join("nats");
    std::fs::create_dir(&nats)?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(dump.join("jetstream.tar.gz"));
    let status = tar.arg("--no-same-owner").arg("-C").arg(&nats).status();
    ensure!(status.context("cannot run tar")?.success(), "tar failed");
    Ok(())
}

fn as_of_today(about: &About, sandbox: &Sandbox) -> anyhow::Result<String> {
    let mail = sandbox.addresses().mail;
    let text = read(&dumps(), "as-of-today.sql")?;
    Ok(text
        .replace("{dumped_at}", &about.dumped_at)
        .replace("{imap_port}", &mail.imap_tls.port().to_string())
        .replace("{smtp_port}", &mail.smtp_tls.port().to_string())
        .replace("{ca_pem}", sandbox.ca_pem()))
}

/// Starts a provider with the mailboxes of the dump, numbered as they were there.
async fn start_sandbox(about: &About) -> anyhow::Result<Sandbox> {
    let mailboxes = about.mailboxes.iter().map(|mailbox| MailboxSettings {
        address: mailbox.address.clone(),
        password: mailbox.password.clone(),
    });
    let settings = SandboxSettings {
        mailboxes: mailboxes.collect(),
        ..SandboxSettings::default()
    };
    let clock = ManualClock::starting_at(OffsetDateTime::from_unix_timestamp(about.started_at)?);
    let sandbox = Sandbox::start(settings, Arc::new(clock)).await?;
    let store = sandbox.mail();
    for mailbox in &about.mailboxes {
        for mail in &mailbox.mails {
            let raw = mail.raw.clone().into();
            let uid = store.append(&mailbox.address, &mail.folder, raw, Flags::default())?;
            ensure!(uid == mail.uid, "UID {uid} instead of {}", mail.uid);
        }
        let folders = store.folders(&mailbox.address)?.into_iter();
        let uid_validity: BTreeMap<String, u32> = folders
            .map(|folder| (folder.name, folder.uid_validity))
            .collect();
        ensure!(
            uid_validity == mailbox.uid_validity,
            "{} has other UIDVALIDITYs: {uid_validity:?}",
            mailbox.address
        );
    }
    Ok(sandbox)
}
