use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument, error, info_span};

use super::poison::Search;
use super::pull::{Pull, PullError, Pulled};
use super::settle::{Outcome, Ticket};
use super::{Delivery, Handler, Loop};
use crate::metric;

pub(super) async fn run<H: Handler>(of: &Loop, handler: Arc<H>) {
    let mut failures = 0;
    let mut search = Search::default();
    while let Some(mut pull) = of.open_pull(&mut search).await {
        let ended = pump(of, handler.as_ref(), &mut pull, &mut failures).await;
        for message in pull.close().await {
            if let Some(reply) = message.reply {
                of.hand_back(&reply, Duration::ZERO).await;
            }
        }
        let Some(error) = ended else { break };
        search.is_due = true;
        if of.wait_after(&error, failures).await.is_none() {
            break;
        }
        failures += 1;
    }
}

/// How many batches are in hand: one that is finished and one that is prepared.
const IN_HAND: usize = 2;

/// Batches on which the handler works.
type Working<'a> = FuturesUnordered<BoxFuture<'a, Vec<(Ticket, Outcome)>>>;
/// Acknowledgements on their way to the server.
type Settling<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// The end of the batch before, which this one waits for, and its own, which the next one waits for.
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
    of: &Loop,
    handler: &H,
    pull: &mut Pull,
    failures: &mut u32,
) -> Option<PullError> {
    let (mut working, mut settling) = (Working::new(), Settling::new());
    let ended = pump_into(of, handler, pull, failures, (&mut working, &mut settling)).await;
    loop {
        tokio::select! {
            Some(worked) = working.next() => settling.push(settle_all(of, worked).boxed()),
            Some(()) = settling.next() => {}
            else => return ended,
        }
    }
}

async fn pump_into<'a, H: Handler>(
    of: &'a Loop,
    handler: &'a H,
    pull: &mut Pull,
    failures: &mut u32,
    (working, settling): (&mut Working<'a>, &mut Settling<'a>),
) -> Option<PullError> {
    let most = of.settings.max_in_hand;
    let mut turns = Turns::default();
    loop {
        if let Err(error) = ask(pull, most).await {
            return Some(error);
        }
        let first = tokio::select! {
            biased;
            () = of.stop.cancelled() => return None,
            Some(()) = settling.next() => continue,
            Some(worked) = working.next() => {
                settling.push(settle_all(of, worked).boxed());
                continue;
            }
            pulled = pull.next(), if working.len() < IN_HAND => match pulled {
                Ok(Pulled::Message(message)) => message,
                Ok(Pulled::RequestEnded) => { *failures = 0; continue; }
                Err(error) => return Some(error),
            },
        };
        *failures = 0;
        let (batch, ended) = gather(pull, first, most).await;
        let tickets = batch.into_iter().filter_map(|message| of.ticket(message));
        working.push(work(of, handler, tickets.collect(), turns.take()).boxed());
        if ended.is_some() {
            return ended;
        }
    }
}

/// Asks for more once half of what may be in hand has come.
async fn ask(pull: &mut Pull, most: usize) -> Result<(), PullError> {
    let free = most.saturating_sub(pull.outstanding());
    if free < most.div_ceil(2) {
        return Ok(());
    }
    pull.request(free).await
}

async fn settle_all(of: &Loop, worked: Vec<(Ticket, Outcome)>) {
    let settled = worked
        .into_iter()
        .map(|(ticket, outcome)| of.settle(ticket, outcome));
    join_all(settled).await;
}

/// Takes what is here, and what comes while others have their turn; does not wait for more.
async fn gather(pull: &mut Pull, first: Message, most: usize) -> (Vec<Message>, Option<PullError>) {
    let mut batch = vec![first];
    let mut before = 0;
    while batch.len() > before && batch.len() < most {
        before = batch.len();
        while batch.len() < most {
            match pull.next_waiting() {
                Ok(Some(message)) => batch.push(message),
                Ok(None) => break,
                Err(error) => return (batch, Some(error)),
            }
        }
        // The task's budget of tokio ends after some 128 messages, and then all looks empty.
        tokio::task::yield_now().await;
    }
    (batch, None)
}

/// Has a batch handled, and returns what is to become of each message.
async fn work<H: Handler>(
    of: &Loop,
    handler: &H,
    batch: Vec<(Delivery, Ticket)>,
    turn: Turn,
) -> Vec<(Ticket, Outcome)> {
    let (too_often, batch): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|(_, ticket)| of.is_delivered_too_often(ticket));
    let (deliveries, tickets): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let mut worked: Vec<(Ticket, Outcome)> = too_often
        .into_iter()
        .map(|(_, ticket)| (ticket, Outcome::TooOften))
        .collect();
    if tickets.is_empty() {
        return worked;
    }
    let span = info_span!(
        "handle_batch",
        otel.name = of.consumer,
        consumer = of.consumer,
        messages = tickets.len(),
    );
    let began = Instant::now();
    let outcomes = supervise(of, handler, deliveries, &tickets, turn)
        .instrument(span)
        .await;
    metric::worked(of.consumer, began.elapsed().as_secs_f64());
    worked.extend(tickets.into_iter().zip(outcomes));
    worked
}

async fn supervise<H: Handler>(
    of: &Loop,
    handler: &H,
    deliveries: Vec<Delivery>,
    tickets: &[Ticket],
    mut turn: Turn,
) -> Vec<Outcome> {
    let work_timeout = of.settings.work_timeout;
    let work = AssertUnwindSafe(async move {
        let began = Instant::now();
        let prepared = timeout(work_timeout, handler.prepare(deliveries)).await?;
        let rest = work_timeout.saturating_sub(began.elapsed());
        // Not timed: the batch before has a timeout of its own, and a slow one must not cost this one an attempt.
        turn.wait().await;
        timeout(rest, handler.finish(prepared)).await
    });
    let work = work.catch_unwind();
    tokio::pin!(work);
    let third = of.settings.ack_wait / 3;
    let mut progress = interval_at(Instant::now() + third, third);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = progress.tick() => {
                join_all(tickets.iter().map(|ticket| of.signal_progress(ticket))).await;
            }
        }
    };
    let all = |make: fn() -> Outcome| tickets.iter().map(|_| make()).collect();
    match done {
        Ok(Ok(results)) if results.len() == tickets.len() => {
            results.into_iter().map(Outcome::of).collect()
        }
        Ok(Ok(results)) => {
            error!(
                consumer = of.consumer,
                messages = tickets.len(),
                answers = results.len(),
                "Batch handler did not answer for each message"
            );
            all(|| Outcome::Panicked)
        }
        Ok(Err(_)) => all(|| Outcome::TimedOut),
        Err(_) => all(|| Outcome::Panicked),
    }
}
