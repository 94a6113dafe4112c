use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument, error, info_span};

use super::pull::{Pull, PullError, Pulled};
use super::settle::{Outcome, Ticket};
use super::{BatchHandler, Delivery, Loop};
use crate::metric;

pub(super) async fn run<H: BatchHandler>(of: &Loop, handler: Arc<H>) {
    let mut failures = 0;
    while let Some(mut pull) = of.open_pull().await {
        let ended = pump(of, handler.as_ref(), &mut pull, &mut failures).await;
        for message in pull.close().await {
            if let Some(reply) = message.reply {
                of.hand_back(&reply, Duration::ZERO).await;
            }
        }
        let Some(error) = ended else { break };
        if of.wait_after(&error, failures).await.is_none() {
            break;
        }
        failures += 1;
    }
}

/// Acknowledgements on their way to the server.
type Settling<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// Moves batches from the pull to the handler; none when asked to stop, else why the pull ended.
async fn pump<H: BatchHandler>(
    of: &Loop,
    handler: &H,
    pull: &mut Pull,
    failures: &mut u32,
) -> Option<PullError> {
    let mut settling = Settling::new();
    let ended = pump_into(of, handler, pull, failures, &mut settling).await;
    while settling.next().await.is_some() {}
    ended
}

/// While a batch is worked on, the one before it is acknowledged and the next one travels.
async fn pump_into<'a, H: BatchHandler>(
    of: &'a Loop,
    handler: &H,
    pull: &mut Pull,
    failures: &mut u32,
    settling: &mut Settling<'a>,
) -> Option<PullError> {
    let most = of.settings.max_in_hand;
    loop {
        if let Err(error) = ask(pull, most).await {
            return Some(error);
        }
        let first = tokio::select! {
            biased;
            () = of.stop.cancelled() => return None,
            Some(()) = settling.next(), if !settling.is_empty() => continue,
            pulled = pull.next() => match pulled {
                Ok(Pulled::Message(message)) => message,
                Ok(Pulled::RequestEnded) => { *failures = 0; continue; }
                Err(error) => return Some(error),
            },
        };
        *failures = 0;
        let (batch, mut ended) = gather(pull, first, most).await;
        if ended.is_none() {
            ended = ask(pull, most).await.err();
        }
        let tickets = batch.into_iter().filter_map(|message| of.ticket(message));
        let working = work(of, handler, tickets.collect());
        tokio::pin!(working);
        let worked = loop {
            tokio::select! {
                worked = &mut working => break worked,
                Some(()) = settling.next(), if !settling.is_empty() => {}
            }
        };
        settling.push(settle_all(of, worked).boxed());
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
async fn work<H: BatchHandler>(
    of: &Loop,
    handler: &H,
    batch: Vec<(Delivery, Ticket)>,
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
    let outcomes = supervise(of, handler, deliveries, &tickets)
        .instrument(span)
        .await;
    metric::worked(of.consumer, began.elapsed().as_secs_f64());
    worked.extend(tickets.into_iter().zip(outcomes));
    worked
}

async fn supervise<H: BatchHandler>(
    of: &Loop,
    handler: &H,
    deliveries: Vec<Delivery>,
    tickets: &[Ticket],
) -> Vec<Outcome> {
    let work = AssertUnwindSafe(async move { handler.handle_batch(deliveries).await });
    let work = tokio::time::timeout(of.settings.work_timeout, work.catch_unwind());
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
        Ok(Err(_)) => all(|| Outcome::Panicked),
        Err(_) => all(|| Outcome::TimedOut),
    }
}
