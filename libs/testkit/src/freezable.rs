use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use mailmesh_runtime::Lifecycle;
use tokio::sync::{mpsc, oneshot};

use crate::running::RunningReplica;

/// One replica of a service on a thread of its own, which can be frozen as a stopped process or a
/// paused machine is: heartbeat, leases and all.
#[derive(Debug)]
pub struct Freezable {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Told when the replica is frozen; the replica is, until the other end is dropped.
struct Order {
    begun: oneshot::Sender<()>,
    thaw: std::sync::mpsc::Receiver<()>,
}

/// While this lives, the replica does nothing at all.
#[derive(Debug)]
pub struct FrozenReplica(
    #[expect(dead_code, reason = "held for what its drop does")] std::sync::mpsc::SyncSender<()>,
);

impl Freezable {
    /// Starts what `build` returns; `build` must open connections of its own.
    pub fn start<B, S>(build: B) -> Self
    where
        B: AsyncFnOnce() -> anyhow::Result<S> + Send + 'static,
        S: FnOnce(&Lifecycle),
    {
        let (orders, taken) = mpsc::channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(obey(build, taken))
        });
        Self { orders, thread }
    }

    /// Freezes it, and returns once it is.
    pub async fn freeze(&self) -> anyhow::Result<FrozenReplica> {
        let (begun, is_begun) = oneshot::channel();
        let (hold, thaw) = std::sync::mpsc::sync_channel(1);
        let order = Order { begun, thaw };
        self.orders.send(order).await.ok().context("it has ended")?;
        is_begun.await?;
        Ok(FrozenReplica(hold))
    }

    /// Stops it, and fails if it did not end well.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.orders);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.map_err(|_| anyhow!("the replica panicked"))?
    }
}

impl FrozenReplica {
    /// Lets the replica go on; it does not know that it did nothing.
    pub fn thaw(self) {
        drop(self);
    }
}

async fn obey<S: FnOnce(&Lifecycle)>(
    build: impl AsyncFnOnce() -> anyhow::Result<S>,
    mut orders: mpsc::Receiver<Order>,
) -> anyhow::Result<()> {
    let running = RunningReplica::start(build().await?);
    while let Some(order) = orders.recv().await {
        order.begun.send(()).ok();
        // Blocks the only thread of this runtime, and so everything of the replica.
        order.thaw.recv().ok();
    }
    running.stop().await
}
