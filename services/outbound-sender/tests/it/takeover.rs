//! Senders that are frozen or killed with a mail in hand.

use std::sync::{Arc, Mutex, mpsc};

use anyhow::{Context, Result, anyhow, ensure};
use mailmesh_domain::SystemClock;
use mailmesh_outbound_sender::Service;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_testkit::eventually;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::world::{World, connect, quick, send_body};

/// A sender on a thread of its own, which can be frozen as by SIGSTOP: heartbeat, leases and all.
struct Freezer {
    freeze: Option<oneshot::Sender<()>>,
    thaw: mpsc::Sender<()>,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Freezer {
    fn start(world: &World) -> Self {
        let (freeze, frozen) = oneshot::channel::<()>();
        let (thaw, thawed) = mpsc::channel::<()>();
        let thawed = Mutex::new(thawed);
        let stop = CancellationToken::new();
        let (url, bus) = (world.database_url.clone(), world.bus_settings.clone());
        let (keys, stopped) = (world.keys.clone(), stop.clone());
        let run = async move {
            let connections = connect(&url, &bus).await?;
            let clock = Arc::new(SystemClock);
            let service = Service::build(quick(), keys, &connections, clock).await?;
            let freezing = async {
                if frozen.await.is_ok() {
                    let thawed = thawed.lock();
                    thawed.map(|thawed| thawed.recv().ok()).ok();
                }
            };
            let (ended, ()) = tokio::join!(Box::pin(service.run(stopped)), freezing);
            ended
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(run)
        });
        Self {
            freeze: Some(freeze),
            thaw,
            stop,
            thread,
        }
    }

    fn freeze(&mut self) -> Result<()> {
        let freeze = self.freeze.take().context("frozen before")?;
        freeze
            .send(())
            .map_err(|()| anyhow!("the sender has ended"))
    }

    async fn thaw_and_stop(self) -> Result<()> {
        self.thaw.send(())?;
        self.stop.cancel();
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        joined.map_err(|_| anyhow!("the sender panicked"))?
    }
}

async fn taken(world: &World) -> Result<()> {
    let faults = world.sandbox.faults();
    eventually("the fault has struck", async || {
        faults.list().iter().any(|fault| fault.taken > 0)
    })
    .await
}

fn stall() -> Fault {
    Fault::Stall { seconds: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_sender_that_was_taken_over_does_not_send() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.data", stall()))?;
    let mut first = Freezer::start(&world);
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    taken(&world).await?;

    first.freeze()?;
    world.start_sender(quick()).await?;
    let sent = world.event("mail.sent").await?;
    world.sandbox.faults().clear();
    first.thaw_and_stop().await?;

    assert_eq!(sent["attempts"], 2);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sender_frozen_after_its_dot_settles_what_was_called_uncertain() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.final_dot", stall()))?;
    let mut first = Freezer::start(&world);
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    taken(&world).await?;

    first.freeze()?;
    world.start_sender(quick()).await?;
    let uncertain = world.event("mail.uncertain").await?;
    world.sandbox.faults().clear();
    first.thaw_and_stop().await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(uncertain["mail_id"], sent["mail_id"]);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test]
async fn killed_sender_leaves_uncertain_what_had_come_to_the_dot() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.final_dot", stall()))?;
    let clock = Arc::new(SystemClock);
    let keys = world.keys.clone();
    let doomed = Service::build(quick(), keys, &world.connections, clock).await?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(doomed.run(CancellationToken::new()));
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    taken(&world).await?;

    tasks.shutdown().await;
    world.start_sender(quick()).await?;
    let uncertain = world.event("mail.uncertain").await?;
    world.sandbox.faults().clear();

    let mail = world.mail(&uncertain).await?;
    assert_eq!(mail.state.as_str(), "uncertain");
    ensure!(world.outbox_texts().len() <= 1, "sent twice");
    world.finish().await
}
