mod control_fetch;
mod large;
mod mail_buffer;
mod pipeline;
mod plan;
mod poison;
mod publish;
mod quarantine;

use std::collections::VecDeque;

use mailmesh_accounts::MemoryPermit;
use mailmesh_mail::SourceError;
use mailmesh_mail::source::{FetchReport, ListedMail};
use tokio::sync::mpsc;
use tracing::instrument;

use self::control_fetch::ControlFetch;
use self::mail_buffer::{BufferedMail, MailBuffer, UNSIZED_MAILS};
use self::plan::{FetchPlan, FetchPlanner, SIZED_MAILS};
use self::poison::{PoisonTracker, SingleFetch};
use self::publish::Publisher;
use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::post_action::{Due, PostActions};
use crate::progress::MailboxProgress;

/// One mail comes in, one is handed over, one waits for its share of what is ready.
const ON_THE_WAY: usize = 3;

/// Receives listed mails: fetch, store, publish, record.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    planner: FetchPlanner,
    poison: PoisonTracker,
}

/// Some mails of a folder that are fetched together.
#[derive(Debug)]
struct FetchBatch<'a> {
    publisher: Publisher<'a>,
    /// Maximum mails per command.
    most: usize,
    slice_bytes: u32,
    /// Made before the only mail was asked for.
    control: ControlFetch,
    has_quarantined: bool,
}

impl Receiver {
    /// Notes that all folders were looked into without a failure.
    pub(crate) const fn note_success(&mut self) {
        self.planner.forget_refusal();
    }

    /// Returns the folders whose mails failed to be read last.
    pub(crate) fn failing_folders(&self) -> Vec<String> {
        self.poison.folders()
    }

    /// Receives mails before and between which nothing else is new, in the order of their ordinals, and does what is to be
    /// done with them on the server.
    pub(crate) async fn receive(
        &mut self,
        folder: &mut OpenFolder<'_>,
        progress: &mut MailboxProgress,
        post: &mut PostActions,
        mails: &[ListedMail],
    ) -> Result<(), WatchFailure> {
        let owner = folder.owner;
        let settings = &owner.context.settings;
        for window in mails.chunks(SIZED_MAILS) {
            let plan = self.plan(folder, window).await?;
            let mut rest = window;
            while !rest.is_empty() {
                if owner.stop.is_cancelled() {
                    return Err(WatchFailure::Stopping);
                }
                let most = plan
                    .count(rest, settings.slice_bytes)
                    .min(settings.chunk_mails);
                let size = self.poison.batch_size(folder.name, rest, most);
                let (mails, later) = rest.split_at(size.clamp(1, rest.len()));
                let slice_bytes = plan.slice(mails, settings.slice_bytes);
                let publisher = Publisher::new(owner, folder.name, progress, mails);
                let receiving = self.receive_batch(folder, publisher, slice_bytes);
                let due = Box::pin(receiving).await?;
                post.act(folder, &due).await?;
                rest = later;
            }
        }
        Ok(())
    }

    async fn plan(
        &mut self,
        folder: &mut OpenFolder<'_>,
        mails: &[ListedMail],
    ) -> Result<FetchPlan, WatchFailure> {
        if self.poison.fetches_individually(folder.name) {
            return Ok(FetchPlan::default());
        }
        self.planner.plan(folder.source, mails).await
    }

    /// Fetches, publishes and records some mails, each stage while the one before it goes on. Returns those that something
    /// is to be done with on the server.
    #[instrument(name = "receive.mails", skip_all, fields(account.id = %folder.owner.account.id, mails = publisher.len()))]
    async fn receive_batch(
        &mut self,
        folder: &mut OpenFolder<'_>,
        publisher: Publisher<'_>,
        slice_bytes: u32,
    ) -> Result<Vec<Due>, WatchFailure> {
        let control = match publisher.only_mail() {
            Some(mail) => self.poison.control(folder, mail).await?,
            None => ControlFetch::Inconclusive,
        };
        let mut batch = FetchBatch {
            publisher,
            most: usize::MAX,
            slice_bytes,
            control,
            has_quarantined: false,
        };
        let mut outcome = Ok(());
        while outcome.is_ok() && batch.publisher.has_pending() {
            outcome = self.fetch_pending(folder, &mut batch).await;
        }
        // What was published before a failure is recorded all the same.
        let recorded = batch.publisher.finish().await;
        outcome.and(recorded)?;
        // A mail that is quarantined is no sign that the server works again.
        if !batch.has_quarantined {
            folder.owner.note_proof();
        }
        Ok(batch.publisher.into_due())
    }

    /// Fetches what is pending once; a large mail ends the batch and what came after it follows.
    async fn fetch_pending(
        &mut self,
        folder: &mut OpenFolder<'_>,
        batch: &mut FetchBatch<'_>,
    ) -> Result<(), WatchFailure> {
        let ordinals = batch.publisher.pending(batch.most);
        let slice_bytes = batch.slice_bytes;
        let context = &folder.owner.context;
        let room = make_room(folder.owner, ordinals.len(), slice_bytes).await?;
        // The buffer counts bytes; the channel only hands over.
        let (sender, receiver) = mpsc::channel(1);
        let mut buffer = MailBuffer::new(receiver, &context.budget);
        let source = &mut *folder.source;
        let fetching = async {
            let report = source.fetch(&ordinals, slice_bytes, &sender).await;
            drop(sender);
            report
        };
        let publishing = pipeline::take_in(&mut batch.publisher, &mut buffer);
        let (report, published) = tokio::join!(fetching, publishing);
        drop(room);
        if buffer.has_discarded() {
            // The sizes were not what the server claimed, or memory is short.
            batch.most = UNSIZED_MAILS;
        }
        let behind = buffer.into_behind();
        published?;
        let report = self.judge_report(batch, &ordinals, report).await?;
        self.receive_behind(folder, batch, behind).await?;
        for ordinal in report.missing {
            batch.publisher.leave_out(ordinal);
        }
        Ok(())
    }

    /// Looks at what did not come. A mail that was asked for alone answers for the failure.
    async fn judge_report(
        &mut self,
        batch: &mut FetchBatch<'_>,
        ordinals: &[u64],
        report: Result<FetchReport, SourceError>,
    ) -> Result<FetchReport, WatchFailure> {
        let error = match report {
            Ok(report) if report.unreadable.is_empty() => return Ok(report),
            Ok(_) => SourceError::MailUnreadable,
            // The mails were not taken because publishing failed, which is an error of its own already.
            Err(error) => error,
        };
        if let [ordinal] = ordinals {
            self.count_failure(batch, *ordinal, error).await?;
            return Ok(FetchReport::default());
        }
        let has_advanced = batch.publisher.has_advanced();
        let last = batch.publisher.last();
        let folder = batch.publisher.folder();
        self.poison.note_batch(folder, last, &error, has_advanced);
        Err(error.into())
    }

    async fn receive_behind(
        &mut self,
        folder: &mut OpenFolder<'_>,
        batch: &mut FetchBatch<'_>,
        mut behind: VecDeque<BufferedMail>,
    ) -> Result<(), WatchFailure> {
        while let Some(first) = behind.pop_front() {
            if first.mail.is_complete {
                let mut held = vec![first];
                while let Some(next) = behind.pop_front_if(|held| held.mail.is_complete) {
                    held.push(next);
                }
                pipeline::publish_held(&mut batch.publisher, held).await?;
                continue;
            }
            let ordinal = first.mail.ordinal;
            let receiving = large::receive(folder, &mut batch.publisher, first);
            match Box::pin(receiving).await {
                Ok(()) => {}
                Err(WatchFailure::Source(error)) if error.is_mail_gone() => {
                    batch.publisher.leave_out(ordinal);
                }
                Err(WatchFailure::Source(error)) => {
                    self.count_failure(batch, ordinal, error).await?;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Counts a failure of one mail; goes on behind it if that quarantines it and the session can.
    async fn count_failure(
        &mut self,
        batch: &mut FetchBatch<'_>,
        ordinal: u64,
        error: SourceError,
    ) -> Result<(), WatchFailure> {
        let Some(mail) = batch.publisher.find_listed(ordinal) else {
            return Err(error.into());
        };
        let fetch = SingleFetch {
            folder: batch.publisher.folder(),
            mail,
            control: batch.control,
        };
        let counting = self
            .poison
            .count_failure(batch.publisher.owner(), fetch, &error);
        let is_quarantined = counting.await?;
        if !is_quarantined {
            return Err(error.into());
        }
        batch.publisher.leave_out(ordinal);
        batch.has_quarantined = true;
        if error.is_session_usable() {
            Ok(())
        } else {
            Err(error.into())
        }
    }
}

/// Waits for memory for what is on its way from the server.
async fn make_room(
    owner: &AccountContext,
    mails: usize,
    slice_bytes: u32,
) -> Result<MemoryPermit, WatchFailure> {
    let slice_bytes = usize::try_from(slice_bytes).unwrap_or(usize::MAX);
    let bytes = slice_bytes.saturating_mul(mails.min(ON_THE_WAY));
    let (budget, host) = (&owner.context.budget, owner.account.host());
    let taking = async {
        if mails <= UNSIZED_MAILS {
            budget.take_few(host, bytes).await
        } else {
            budget.take_many(host, bytes).await
        }
    };
    tokio::select! {
        () = owner.stop.cancelled() => Err(WatchFailure::Stopping),
        share = taking => Ok(share),
    }
}
