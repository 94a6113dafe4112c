//! Commands that a killed nats-server still holds although they are acknowledged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mailmesh_testkit::{MeshAddress, TestFolder, TestServers, eventually, own_nats};
use serde_json::json;

use crate::world::World;

const CONSUMER: &str = "outbound-sender-send-mail";
const MAILS: u64 = 5;

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The messages of `MAIL_SEND` in the server's folder.
fn messages(folder: &TestFolder, prefix: &str) -> Result<PathBuf> {
    let streams = folder.path().join("nats/jetstream/jetstream/$G/streams");
    let mut found = std::fs::read_dir(&streams)
        .with_context(|| streams.display().to_string())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains(prefix))
        .filter(|path| path.to_string_lossy().ends_with("MAIL_SEND"));
    Ok(found.next().context("no stream")?.join("msgs"))
}

#[tokio::test]
async fn acknowledged_commands_that_the_stream_still_holds_are_removed() -> Result<()> {
    let folder = TestFolder::new("leftover")?;
    let mut nats = own_nats(&folder).await?;
    let postgres = TestServers::shared().await?.fresh_database().await?;
    let mut world = World::at(MeshAddress::on(&nats.url(), postgres)).await?;
    world.add_account("one", 1).await?;
    let sender = world.sender().await?;
    sender.stop().await?;
    for number in 0..MAILS {
        let body = json!({ "to": "a@elsewhere.test", "text": "x", "subject": number.to_string() });
        world.publish("mail.send.one", body.to_string()).await?;
    }
    let rejected = world.publish("mail.send.one", "{}").await?;
    let stored = messages(&folder, world.base.prefix())?;
    let kept = folder.path().join("kept");
    nats.stop().await;
    copy(&stored, &kept)?;
    nats.restart().await?;
    let sender = world.sender().await?;
    for _ in 0..MAILS {
        world.event("mail.sent").await?;
    }
    world.event("mail.rejected").await?;
    eventually("all commands are acknowledged", async || {
        let progress = world.base.bus.work_queue_progress(CONSUMER).await?;
        let progress = progress.context("no consumer")?;
        ensure!(progress.acknowledged_sequence == rejected, "{progress:?}");
        Ok(())
    })
    .await?;
    sender.stop().await?;

    // As if the server had been killed before it deleted them.
    nats.stop().await;
    std::fs::remove_dir_all(&stored)?;
    copy(&kept, &stored)?;
    nats.restart().await?;
    let progress = eventually("the server is back", async || {
        let progress = world.base.bus.work_queue_progress(CONSUMER).await?;
        progress.context("no consumer")
    })
    .await?;
    assert_eq!(progress.first_sequence, 1, "the server removed them itself");
    assert_eq!(progress.acknowledged_sequence, rejected);
    world.start_sender().await?;

    eventually("what is recorded is removed", async || {
        let next = world.base.bus.next_command(1).await?;
        let first = next.map(|command| command.sequence);
        ensure!(first == Some(rejected), "{first:?} is there");
        Ok(())
    })
    .await?;
    assert_eq!(world.outbox_texts().len(), usize::try_from(MAILS)?);
    world.finish().await
}
