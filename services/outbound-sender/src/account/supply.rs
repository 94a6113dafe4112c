use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use mailmesh_store::outbound_mail::OutboundMail;
use tracing::{error, warn};

use super::Worker;
use crate::decide::{Decision, Ended, decide};
use crate::delivery::unsendable;
use crate::event;
use crate::job::{Claimed, Job};
use crate::recorder::Recorded;
use crate::shared::{Shared, raw_name};

/// Bodies fetched at a time.
const PREFETCH: usize = 8;
/// Before a body is asked for again that could not be fetched.
const FETCH_RETRY: Duration = Duration::from_secs(10);

/// Why a claimed mail does not become a job.
enum NoBody {
    /// It is not stored any more.
    Missing,
    /// The store did not answer, or the process ends.
    NotNow,
}

impl Worker {
    /// Hands claimed mails to the connections, which take them as they get free.
    pub(super) async fn supply(&mut self, claimed: Vec<Claimed>) {
        let shared = std::sync::Arc::clone(&self.shared);
        let each = claimed.into_iter().map(|mail| fetch(&shared, mail));
        let mut fetched = stream::iter(each).buffered(PREFETCH);
        while let Some(result) = fetched.next().await {
            match result {
                Ok(job) => self.hand_over(job).await,
                Err((claimed, NoBody::Missing)) => self.fail(&claimed.mail).await,
                Err((claimed, NoBody::NotNow)) => self.postpone(&claimed.mail).await,
            }
        }
    }

    async fn hand_over(&mut self, job: Job) {
        loop {
            if self.stop.is_cancelled() || (self.lanes.is_empty() && !self.reopen().await) {
                return self.give_back(&job.mail).await;
            }
            tokio::select! {
                biased;
                Some(end) = self.lanes.join_next() => self.take_end(end.ok()).await,
                permit = self.feed.clone().reserve_owned() => {
                    if let Ok(permit) = permit {
                        permit.send(job);
                    }
                    return;
                }
            }
        }
    }

    /// Opens a connection in place of those that ended, as a server's limit of mails asks for.
    async fn reopen(&mut self) -> bool {
        let is_open = self.gate.is_open() && self.open_first().await.unwrap_or(false);
        if !is_open {
            self.give_back_waiting().await;
        }
        is_open
    }

    async fn fail(&self, mail: &OutboundMail) {
        error!(mail.id = %mail.id, "The mail's body is not stored any more");
        let replica = &self.shared.replica;
        let failure = unsendable("its body is no longer stored");
        let now = replica.clock.now();
        let Decision {
            outcome, notice, ..
        } = decide(mail, Ended::Failed(failure), &self.shared.rules, now);
        let key = &self.account.key;
        let events = notice.map(|notice| event::of_notice(replica, key, mail, &outcome, notice));
        let recorded = Recorded {
            outcome,
            events: events.unwrap_or_default(),
        };
        self.shared.recorder.record(recorded).await;
    }

    async fn postpone(&self, mail: &OutboundMail) {
        let now = self.shared.replica.clock.now();
        let mut outcome = decide(mail, Ended::Unattempted, &self.shared.rules, now).outcome;
        outcome.due_at = now + FETCH_RETRY;
        let events = Vec::new();
        let recorded = Recorded { outcome, events };
        self.shared.recorder.record(recorded).await;
    }
}

async fn fetch(shared: &Shared, claimed: Claimed) -> Result<Job, (Claimed, NoBody)> {
    let mail = &claimed.mail;
    let Some(memory) = shared.memory.room(mail.size_bytes).await else {
        return Err((claimed, NoBody::NotNow));
    };
    let raw = if let Some(raw) = shared.raws.take(mail.id) {
        Ok(Some(raw))
    } else {
        let limit = usize::try_from(mail.size_bytes).unwrap_or(usize::MAX);
        shared.raw_mails.get_whole(&raw_name(mail.id), limit).await
    };
    let raw = match raw {
        Ok(Some(raw)) => raw,
        Ok(None) => return Err((claimed, NoBody::Missing)),
        Err(error) => {
            warn!(
                mail.id = %mail.id,
                error = &error as &dyn std::error::Error,
                "The mail's body could not be fetched; it is tried again"
            );
            return Err((claimed, NoBody::NotNow));
        }
    };
    Ok(Job {
        mail: claimed.mail,
        raw,
        _hold: claimed.hold,
        _memory: memory,
    })
}
