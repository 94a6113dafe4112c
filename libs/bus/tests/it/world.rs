//! One nats-server for the whole run, one prefix per test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use mailmesh_bus::{Bus, BusSettings, Outgoing, StreamSettings};
use mailmesh_embedded::{Cache, Locator, LogProgress, Nats, NatsOptions, find_nats};
use tokio::task::JoinSet;

const MIB: u64 = 1024 * 1024;

/// Settings of a test: its own prefix, small streams.
pub(crate) fn settings(url: &str) -> BusSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    BusSettings {
        url: url.to_owned(),
        prefix: format!("t{}_{number}", std::process::id()),
        streams: StreamSettings {
            events_max_bytes: 8 * MIB,
            mail_send_max_bytes: 8 * MIB,
            raw_max_bytes: 32 * MIB,
            dead_letters_max_bytes: 8 * MIB,
            ..StreamSettings::default()
        },
        ..BusSettings::default()
    }
}

/// A connected bus with its streams.
pub(crate) async fn bus() -> Result<Bus> {
    bus_with(&settings(&url()?)).await
}

pub(crate) async fn bus_with(settings: &BusSettings) -> Result<Bus> {
    let bus = Bus::connect(settings).await?;
    bus.ensure_streams().await?;
    Ok(bus)
}

/// A client that knows nothing of the bus.
pub(crate) async fn plain_client() -> Result<async_nats::Client> {
    Ok(async_nats::connect(url()?).await?)
}

pub(crate) fn outgoing(subject: &str, message_id: &str, payload: &[u8]) -> Outgoing {
    Outgoing {
        subject: subject.to_owned(),
        message_id: message_id.to_owned(),
        headers: Vec::new(),
        payload: payload.to_vec().into(),
    }
}

/// The server of this run: the one that is named, else one that stops when this process ends.
pub(crate) fn url() -> Result<String> {
    static URL: OnceLock<Result<String, String>> = OnceLock::new();
    let url = URL.get_or_init(|| {
        if let Some(given) = std::env::var_os("TEST_NATS_URL") {
            return Ok(given.to_string_lossy().into_owned());
        }
        start_shared().map_err(|error| format!("{error:#}"))
    });
    url.clone().map_err(|text| anyhow!(text))
}

// On a runtime of its own: each test's runtime ends with the test.
fn start_shared() -> Result<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(error.into()))),
        };
        runtime.block_on(async {
            match start_own("shared").await {
                Ok(server) => {
                    drop(sender.send(Ok(server.url())));
                    std::future::pending::<()>().await;
                    drop(server);
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        });
    });
    receiver.recv().context("the server's thread ended")?
}

/// A server for one test, which may kill it.
pub(crate) async fn start_own(name: &str) -> Result<Nats> {
    start_with(name, "").await
}

/// As `start_own`, with more lines of configuration.
pub(crate) async fn start_with(name: &str, extra_config: &str) -> Result<Nats> {
    let folders = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bus-nats");
    sweep(&folders);
    let folder: PathBuf = folders.join(format!("{}-{name}", std::process::id()));
    let binary = find_nats(&Locator::new(Cache::of_user()), &LogProgress).await?;
    let mut options = NatsOptions::new(folder);
    options.sync_always = false;
    // As servers have it unless they are told otherwise.
    options.max_payload_bytes = 1024 * 1024;
    extra_config.clone_into(&mut options.extra_config);
    Ok(Nats::start(binary, options).await?)
}

/// Removes what earlier runs left.
fn sweep(folders: &Path) {
    let Ok(entries) = std::fs::read_dir(folders) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// Returns how many messages lie in a stream.
pub(crate) async fn left(settings: &BusSettings, stream: &str) -> Result<u64> {
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream
        .get_stream(format!("{}_{stream}", settings.prefix))
        .await?;
    Ok(stream.cached_info().state.messages)
}

/// Waits for a state; fails with the last one seen.
pub(crate) async fn eventually<T, F>(what: &str, mut look: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(anyhow!("in 20 s it never came that {what}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Something that runs beside the test, and no longer than it.
pub(crate) struct Background<T>(JoinSet<T>);

pub(crate) fn background<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Background<T> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    Background(tasks)
}

impl<T: 'static> Background<T> {
    pub(crate) async fn finish(mut self) -> Result<T> {
        Ok(self.0.join_next().await.context("it was taken")??)
    }
}
