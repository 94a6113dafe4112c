use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument, error, info, info_span, warn};

use super::ack::{PendingAck, WorkOutcome, redeliver};
use super::context::ConsumerContext;
use super::handler::{Delivery, Handler};
use super::pull::{Pull, PullError, PullResult};
use super::unreadable_scan::UnreadableScan;
use crate::delay::jittered;
use crate::metric;

/// Hands batches to the handler until asked to stop; opens the pull anew whenever it ends.
pub(super) async fn run<H: Handler>(context: &ConsumerContext, handler: Arc<H>) {
    let mut failures = 0;
    let mut scan = UnreadableScan::default();
    while let Some(mut pull) = open_pull(context, &mut scan).await {
        let ended = pump(context, handler.as_ref(), &mut pull, &mut failures).await;
        for message in pull.close().await {
            if let Some(reply) = message.reply {
                redeliver(context, &reply, Duration::ZERO).await;
            }
        }
        let Some(error) = ended else { break };
        scan.request();
        if wait_after(context, &error, failures).await.is_none() {
            break;
        }
        failures += 1;
    }
}

/// Opens the pull, as often as it takes; none when asked to stop.
fn open_pull<'a>(
    context: &'a ConsumerContext,
    scan: &'a mut UnreadableScan,
) -> BoxFuture<'a, Option<Pull>> {
    Box::pin(async move {
        let mut failures = 0;
        loop {
            let error = tokio::select! {
                biased;
                () = context.stop.cancelled() => return None,
                opened = Pull::open(context, scan) => match opened {
                    Ok(pull) => return Some(pull),
                    Err(error) => error,
                },
            };
            wait_after(context, &error, failures).await?;
            failures += 1;
        }
    })
}

/// Logs why a pull ended and waits a little; none when asked to stop.
async fn wait_after(context: &ConsumerContext, error: &PullError, failures: u32) -> Option<()> {
    log_ended(context.consumer, error, failures);
    let delay = jittered(failures, Duration::from_millis(100), Duration::from_secs(5));
    tokio::select! {
        biased;
        () = context.stop.cancelled() => None,
        () = tokio::time::sleep(delay) => Some(()),
    }
}

fn log_ended(consumer: &'static str, error: &PullError, failures: u32) {
    let error = error as &dyn Error;
    if failures < 3 {
        info!(consumer, error, "Pull ended, opening it again");
    } else {
        warn!(
            consumer,
            error, failures, "Pull cannot be opened, trying on"
        );
    }
}

/// Maximum batches in flight: one that is finished and one that is prepared.
const IN_HAND: usize = 2;

/// Batches on which the handler works.
type Working<'a> = FuturesUnordered<BoxFuture<'a, Vec<(PendingAck, WorkOutcome)>>>;
/// Acknowledgements on their way to the server.
type Settling<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// Orders the batches: dropping a turn, however its batch ended, lets the next batch finish.
struct Turn {
    before: Option<oneshot::Receiver<Never>>,
    _own: oneshot::Sender<Never>,
}

enum Never {}

/// Gives out turns in the order in which it is asked.
#[derive(Default)]
struct Turns {
    last: Option<oneshot::Receiver<Never>>,
}

impl Turns {
    fn take(&mut self) -> Turn {
        let (own, end) = oneshot::channel();
        Turn {
            before: self.last.replace(end),
            _own: own,
        }
    }
}

impl Turn {
    /// Waits until the batch before has ended, however it did.
    async fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            let _ended = before.await;
        }
    }
}

/// Moves batches from the pull to the handler; none when asked to stop, else why the pull ended.
async fn pump<H: Handler>(
    context: &ConsumerContext,
    handler: &H,
    pull: &mut Pull,
    failures: &mut u32,
) -> Option<PullError> {
    let (mut working, mut settling) = (Working::new(), Settling::new());
    let ended = pump_into(
        context,
        handler,
        pull,
        failures,
        (&mut working, &mut settling),
    )
    .await;
    loop {
        tokio::select! {
            Some(worked) = working.next() => settling.push(settle_all(context, worked).boxed()),
            Some(()) = settling.next() => {}
            else => return ended,
        }
    }
}

async fn pump_into<'a, H: Handler>(
    context: &'a ConsumerContext,
    handler: &'a H,
    pull: &mut Pull,
    failures: &mut u32,
    (working, settling): (&mut Working<'a>, &mut Settling<'a>),
) -> Option<PullError> {
    let most = context.settings.max_in_hand;
    let most_bytes = context.settings.max_batch_bytes;
    let mut turns = Turns::default();
    let mut in_hand_bytes = 0;
    loop {
        if let Err(error) = ask(pull, most).await {
            return Some(error);
        }
        let first = tokio::select! {
            biased;
            () = context.stop.cancelled() => return None,
            Some(()) = settling.next() => continue,
            Some(worked) = working.next() => {
                in_hand_bytes -= worked.iter().map(|(pending, _)| pending.bytes()).sum::<usize>();
                settling.push(settle_all(context, worked).boxed());
                continue;
            }
            pulled = pull.next(), if working.len() < IN_HAND && in_hand_bytes < most_bytes => match pulled {
                Ok(PullResult::Message(message)) => message,
                Ok(PullResult::RequestEnded) => { *failures = 0; continue; }
                Err(error) => return Some(error),
            },
        };
        *failures = 0;
        let (batch, ended) = gather(pull, first, (most, most_bytes)).await;
        let batch = batch
            .into_iter()
            .filter_map(|message| PendingAck::split(context, message));
        let batch: Vec<(Delivery, PendingAck)> = batch.collect();
        in_hand_bytes += batch
            .iter()
            .map(|(_, pending)| pending.bytes())
            .sum::<usize>();
        working.push(work(context, handler, batch, turns.take()).boxed());
        if ended.is_some() {
            return ended;
        }
    }
}

/// Requests more messages once fewer than half of `most` are outstanding.
async fn ask(pull: &mut Pull, most: usize) -> Result<(), PullError> {
    let free = most.saturating_sub(pull.outstanding());
    if free < most.div_ceil(2) {
        return Ok(());
    }
    pull.request(free).await
}

async fn settle_all(context: &ConsumerContext, worked: Vec<(PendingAck, WorkOutcome)>) {
    let settled = worked
        .into_iter()
        .map(|(pending, outcome)| pending.settle(context, outcome));
    join_all(settled).await;
}

/// Takes what has been received, and what comes while other tasks run; does not wait for more.
async fn gather(
    pull: &mut Pull,
    first: Message,
    (most, most_bytes): (usize, usize),
) -> (Vec<Message>, Option<PullError>) {
    let mut bytes = first.length;
    let mut batch = vec![first];
    let mut before = 0;
    while batch.len() > before && batch.len() < most && bytes < most_bytes {
        before = batch.len();
        while batch.len() < most && bytes < most_bytes {
            match pull.next_waiting() {
                Ok(Some(message)) => {
                    bytes = bytes.saturating_add(message.length);
                    batch.push(message);
                }
                Ok(None) => break,
                Err(error) => return (batch, Some(error)),
            }
        }
        // tokio's cooperative budget ends after 128 messages; until the task yields, the subscription then looks empty.
        tokio::task::yield_now().await;
    }
    (batch, None)
}

/// Has a batch handled, and returns what is to become of each message.
async fn work<H: Handler>(
    context: &ConsumerContext,
    handler: &H,
    batch: Vec<(Delivery, PendingAck)>,
    turn: Turn,
) -> Vec<(PendingAck, WorkOutcome)> {
    let (too_often, batch): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|(_, pending)| pending.is_delivered_too_often(context));
    let (deliveries, pending_acks): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let mut worked: Vec<(PendingAck, WorkOutcome)> = too_often
        .into_iter()
        .map(|(_, pending)| (pending, WorkOutcome::TooOften))
        .collect();
    if pending_acks.is_empty() {
        return worked;
    }
    let span = info_span!(
        "handle_batch",
        otel.name = context.consumer,
        consumer = context.consumer,
        messages = pending_acks.len(),
    );
    let began = Instant::now();
    let outcomes = supervise(context, handler, deliveries, &pending_acks, turn)
        .instrument(span)
        .await;
    metric::worked(context.consumer, began.elapsed().as_secs_f64());
    worked.extend(pending_acks.into_iter().zip(outcomes));
    worked
}

async fn supervise<H: Handler>(
    context: &ConsumerContext,
    handler: &H,
    deliveries: Vec<Delivery>,
    pending_acks: &[PendingAck],
    mut turn: Turn,
) -> Vec<WorkOutcome> {
    let work_timeout = context.settings.work_timeout;
    let work = AssertUnwindSafe(async move {
        let began = Instant::now();
        let prepared = timeout(work_timeout, handler.prepare(deliveries)).await?;
        let rest = work_timeout.saturating_sub(began.elapsed());
        // Not part of this batch's timeout: the batch before has its own, and a slow one must not cost this one an attempt.
        turn.wait().await;
        timeout(rest, handler.finish(prepared)).await
    });
    let work = work.catch_unwind();
    tokio::pin!(work);
    let third = context.settings.ack_wait / 3;
    let mut progress = interval_at(Instant::now() + third, third);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = progress.tick() => {
                join_all(pending_acks.iter().map(|pending| pending.signal_progress(context))).await;
            }
        }
    };
    let all = |make: fn() -> WorkOutcome| pending_acks.iter().map(|_| make()).collect();
    match done {
        Ok(Ok(results)) if results.len() == pending_acks.len() => {
            results.into_iter().map(WorkOutcome::of).collect()
        }
        Ok(Ok(results)) => {
            error!(
                consumer = context.consumer,
                messages = pending_acks.len(),
                answers = results.len(),
                "Batch handler did not answer for each message"
            );
            all(|| WorkOutcome::Panicked)
        }
        Ok(Err(_)) => all(|| WorkOutcome::TimedOut),
        Err(_) => all(|| WorkOutcome::Panicked),
    }
}
