use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument, info_span, warn};

use super::poison::Search;
use super::pull::{Pull, PullError, Pulled};
use super::settle::{Outcome, Ticket};
use super::{Delivery, Handler, HandlerError, Loop};
use crate::{metric, trace};

/// A handler without its type, so that the loop is compiled once for all handlers.
pub(super) type Handle =
    Arc<dyn Fn(Delivery) -> BoxFuture<'static, Result<(), HandlerError>> + Send + Sync>;

/// Hides the type of a handler.
pub(super) fn handle_with<H: Handler>(handler: Arc<H>) -> Handle {
    Arc::new(move |delivery| {
        let handler = Arc::clone(&handler);
        Box::pin(async move { handler.handle(delivery).await })
    })
}

pub(super) fn run(of: &Loop, handle: Handle) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let mut tasks = JoinSet::new();
        let mut failures = 0;
        let mut search = Search::default();
        while let Some(mut pull) = of.open_pull(&mut search).await {
            let ended = pump(of, &handle, &mut pull, &mut tasks, &mut failures).await;
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
        while tasks.join_next().await.is_some() {}
    })
}

/// Moves messages from the pull to tasks; none when asked to stop, else why the pull ended.
async fn pump(
    of: &Loop,
    handle: &Handle,
    pull: &mut Pull,
    tasks: &mut JoinSet<()>,
    failures: &mut u32,
) -> Option<PullError> {
    let most = of.settings.max_in_hand;
    loop {
        let free = most.saturating_sub(tasks.len() + pull.outstanding());
        // Not for each message that is done: a request for a quarter of the places costs as much as one for one.
        let is_worth_asking = pull.outstanding() == 0 || free >= most.div_ceil(4);
        if free > 0
            && is_worth_asking
            && let Err(error) = pull.request(free).await
        {
            return Some(error);
        }
        tokio::select! {
            biased;
            () = of.stop.cancelled() => return None,
            Some(_) = tasks.join_next() => {}
            pulled = pull.next() => match pulled {
                Ok(Pulled::Message(message)) => {
                    *failures = 0;
                    tasks.spawn(work(of.clone(), Arc::clone(handle), message));
                }
                Ok(Pulled::RequestEnded) => *failures = 0,
                Err(error) => return Some(error),
            },
        }
    }
}

async fn work(of: Loop, handle: Handle, message: Message) {
    let Some((delivery, ticket)) = of.ticket(message) else {
        warn!(
            consumer = of.consumer,
            "A message came that is from no stream"
        );
        return;
    };
    if of.is_delivered_too_often(&ticket) {
        return of.settle(ticket, Outcome::TooOften).await;
    }
    let span = info_span!(
        "handle",
        otel.name = of.consumer,
        consumer = of.consumer,
        delivery.attempt = delivery.attempt,
        delivery.sequence = delivery.stream_sequence,
    );
    trace::continue_from(&span, &delivery.headers);
    async {
        let began = Instant::now();
        let outcome = supervise(&of, handle(delivery), &ticket).await;
        metric::worked(of.consumer, began.elapsed().as_secs_f64());
        of.settle(ticket, outcome).await;
    }
    .instrument(span)
    .await;
}

async fn supervise(
    of: &Loop,
    handling: impl Future<Output = Result<(), HandlerError>>,
    ticket: &Ticket,
) -> Outcome {
    // A handler that panicked may leave its own state half changed; it is built to be called again all the same.
    let work = AssertUnwindSafe(handling).catch_unwind();
    let work = tokio::time::timeout(of.settings.work_timeout, work);
    tokio::pin!(work);
    let third = of.settings.ack_wait / 3;
    let mut progress = interval_at(Instant::now() + third, third);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            done = &mut work => return match done {
                Ok(Ok(result)) => Outcome::of(result),
                Ok(Err(panic)) => Outcome::panicked(panic),
                Err(_) => Outcome::TimedOut,
            },
            _ = progress.tick() => of.signal_progress(ticket).await,
        }
    }
}
