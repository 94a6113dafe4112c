use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use mailmesh_accounts::{MemoryPermit, MemoryShare};
use mailmesh_bus::RawError;
use mailmesh_domain::MailId;
use mailmesh_secrets::sha256;
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::sync::mpsc;
use tracing::warn;

use crate::context::{ServiceContext, raw_name};
use crate::job::{ClaimedMail, Job};

/// Maximum bodies fetched at once.
const PREFETCH: usize = 8;

/// Why a claimed mail does not become a job.
#[derive(Debug)]
pub(super) enum NoBody {
    /// It is not stored any more, or not as a whole.
    Missing,
    /// What is stored is not what was accepted.
    Exchanged,
    /// The store did not answer.
    NotNow,
}

/// Fetches the bodies of claimed mails ahead of the connections. Each mail waits in turn for its share of the memory
/// budget, then for its body, then for a connection that takes it. It spawns nothing: the worker polls
/// [`Self::advance`] beside connection exits, wake-ups and its stop.
pub(super) struct Prefetcher {
    context: Arc<ServiceContext>,
    share: MemoryShare,
    claimed: VecDeque<ClaimedMail>,
    /// Those whose body is being fetched.
    fetching: VecDeque<(ClaimedMail, MemoryPermit)>,
    /// Locked by nobody else: the mutex only makes the worker, which owns this, `Sync`.
    waits: Mutex<Waits>,
    /// Fetched, and waiting for a place in the channel to the connections.
    job: Option<Job>,
    feed: mpsc::Sender<Job>,
}

/// What the first claimed mails wait for.
#[derive(Default)]
struct Waits {
    room: Option<BoxFuture<'static, MemoryPermit>>,
    /// In the order of those that are being fetched.
    bodies: FuturesOrdered<BoxFuture<'static, Result<Bytes, NoBody>>>,
}

impl Prefetcher {
    pub(super) fn new(context: &Arc<ServiceContext>, feed: mpsc::Sender<Job>) -> Self {
        Self {
            context: Arc::clone(context),
            share: context.memory.share(context.config.memory_share()),
            claimed: VecDeque::new(),
            fetching: VecDeque::new(),
            waits: Mutex::default(),
            job: None,
            feed,
        }
    }

    /// Returns whether all that was claimed has been handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.claimed.is_empty() && self.fetching.is_empty() && self.job.is_none()
    }

    /// Returns whether mail was handed over that no connection has taken.
    pub(super) fn has_handed_over(&self) -> bool {
        self.feed.capacity() < self.feed.max_capacity()
    }

    pub(super) fn add(&mut self, claimed: Vec<ClaimedMail>) {
        self.claimed.extend(claimed);
    }

    /// Hands the next mail over, or returns one that has no body. Loses nothing when it is cancelled.
    pub(super) async fn advance(&mut self) -> Option<(ClaimedMail, NoBody)> {
        if self.job.is_none() {
            match self.next_body().await {
                Ok(job) => self.job = Some(job),
                Err(without) => return Some(without),
            }
        }
        // The receiver lives as long as the worker.
        if let Ok(place) = self.feed.reserve().await
            && let Some(job) = self.job.take()
        {
            place.send(job);
        }
        None
    }

    /// Empties it of all that was not handed over.
    pub(super) fn take_back(&mut self) -> Vec<ClaimedMail> {
        *self.waits() = Waits::default();
        let job = self.job.take().map(Job::into_claimed);
        let fetching = self.fetching.drain(..).map(|(claimed, _)| claimed);
        let waiting = self.claimed.drain(..);
        job.into_iter().chain(fetching).chain(waiting).collect()
    }

    async fn next_body(&mut self) -> Result<Job, (ClaimedMail, NoBody)> {
        loop {
            self.fetch_what_fits();
            let Waits { room, bodies } = self.waits();
            let room = poll_fn(|context| match room {
                Some(room) => room.as_mut().poll(context),
                None => Poll::Pending,
            });
            tokio::select! {
                biased;
                Some(body) = bodies.next() => {
                    if let Some((claimed, room)) = self.fetching.pop_front() {
                        return match body {
                            Ok(raw) => Ok(claimed.into_job(raw, room)),
                            Err(reason) => Err((claimed, reason)),
                        };
                    }
                }
                room = room => {
                    self.waits().room = None;
                    self.fetch_first(room);
                }
            }
        }
    }

    /// Memory is taken strictly in turn: the first mail must never wait for memory that those behind it hold.
    fn fetch_what_fits(&mut self) {
        while self.waits().room.is_none()
            && self.fetching.len() < PREFETCH
            && let Some(first) = self.claimed.front()
        {
            let bytes = usize::try_from(first.mail.size_bytes).unwrap_or(usize::MAX);
            match self.share.try_take(bytes) {
                Some(room) => self.fetch_first(room),
                None => self.waits().room = Some(self.share.take(bytes)),
            }
        }
    }

    fn fetch_first(&mut self, room: MemoryPermit) {
        if let Some(claimed) = self.claimed.pop_front() {
            let body = fetch(Arc::clone(&self.context), ExpectedBody::of(&claimed.mail));
            self.waits().bodies.push_back(Box::pin(body));
            self.fetching.push_back((claimed, room));
        }
    }

    fn waits(&mut self) -> &mut Waits {
        let waits = self.waits.get_mut();
        waits.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Prefetcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Prefetcher")
            .field("claimed", &self.claimed.len())
            .field("fetching", &self.fetching.len())
            .finish_non_exhaustive()
    }
}

/// What must lie on the bus.
#[derive(Debug, Clone, Copy)]
struct ExpectedBody {
    id: MailId,
    bytes: usize,
    sha256: Option<[u8; 32]>,
}

impl ExpectedBody {
    fn of(mail: &OutboundMail) -> Self {
        Self {
            id: mail.id,
            bytes: usize::try_from(mail.size_bytes).unwrap_or(usize::MAX),
            sha256: mail.raw_sha256,
        }
    }

    /// Whoever may write to `MAIL_RAW` could have mail sent in the name of the account.
    fn is_met_by(&self, raw: &[u8]) -> bool {
        self.sha256.is_none_or(|expected| sha256(raw) == expected)
    }
}

async fn fetch(context: Arc<ServiceContext>, expected: ExpectedBody) -> Result<Bytes, NoBody> {
    let id = expected.id;
    // It has not left this process.
    if let Some(raw) = context.raws.take(id) {
        return Ok(raw);
    }
    let name = raw_name(id);
    match context.raw_mails.get_sized(&name, expected.bytes).await {
        Ok(Some(raw)) => checked(expected, raw).await,
        // All chunks were stored before the row was.
        Ok(None) | Err(RawError::Partial { .. }) => Err(NoBody::Missing),
        // Chunks of ours are marked, and together as large as the row says.
        Err(RawError::TooLarge { .. } | RawError::BadChunk { .. }) => Err(NoBody::Exchanged),
        Err(error) => {
            warn!(
                mail.id = %id,
                error = &error as &dyn std::error::Error,
                "The mail's body could not be fetched; it is tried again"
            );
            Err(NoBody::NotNow)
        }
    }
}

/// Larger mails are hashed apart from the threads that talk to servers.
async fn checked(expected: ExpectedBody, raw: Bytes) -> Result<Bytes, NoBody> {
    const AT_ONCE_BYTES: usize = 256 * 1024;
    let is_met = if raw.len() <= AT_ONCE_BYTES {
        expected.is_met_by(&raw)
    } else {
        let content = raw.clone();
        let hashed = tokio::task::spawn_blocking(move || expected.is_met_by(&content));
        hashed.await.map_err(|_| NoBody::NotNow)?
    };
    if is_met {
        Ok(raw)
    } else {
        Err(NoBody::Exchanged)
    }
}
