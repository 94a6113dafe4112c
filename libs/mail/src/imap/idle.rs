use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::command::{MatchedReply, RunningCommand};
use super::error::{ImapError, Stage};
use super::reply::Reply;
use super::session::Session;

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleEnd {
    /// The folder has changed: look for new mails.
    Changed,
    /// The time was up.
    TimeUp,
    /// The caller asked.
    Woken,
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleReport {
    /// Why.
    pub end: IdleEnd,
    /// The number of mails, if the folder changed since the last report.
    pub exists: Option<u32>,
}

impl Session {
    /// Waits until the server pushes a change, `at_most` has passed, or `wake` is ready.
    ///
    /// Returns at once if something changed since the last look.
    ///
    /// # Errors
    ///
    /// See [`ImapError::is_idle_unsupported`] for servers that cannot push; the session goes on. A server that ends
    /// the waiting by itself gives no error, and its changes are found at the next look.
    pub async fn idle(
        &mut self,
        at_most: Duration,
        wake: impl Future<Output = ()> + Send,
    ) -> Result<IdleReport, ImapError> {
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        // Yahoo and AOL have none.
        if !self.capabilities().has_idle() {
            return Err(ImapError::Unsupported { capability: "IDLE" });
        }
        if let Some(exists) = self.take_change() {
            return Ok(changed(exists));
        }
        let until = Instant::now() + at_most;
        let running = self.start(Stage::Idle, "IDLE").await?;
        self.await_consent(&running).await?;
        // The caller's future lives here, not in the caller's loop: boxed once per wait, it keeps
        // the future of an idle session small.
        let mut wake = Box::pin(wake);
        let end = match self.wait_for_change(&running, until, wake.as_mut()).await? {
            Some(end) => {
                self.end_idle(&running).await?;
                end
            }
            None => pause(until, wake.as_mut()).await,
        };
        Ok(match self.take_change() {
            Some(exists) => changed(exists),
            None => IdleReport { end, exists: None },
        })
    }

    /// Waits for `+`. What is pushed before it is kept like any other change.
    async fn await_consent(&mut self, running: &RunningCommand) -> Result<(), ImapError> {
        let deadline = Instant::now() + self.command_limit(Stage::Idle);
        loop {
            let reply = self.next_reply(Stage::Idle, deadline).await?;
            match self.settle(running, reply) {
                MatchedReply::Done(outcome) => return Err(refused(outcome.err())),
                MatchedReply::Data(Reply::Continue(_)) => return Ok(()),
                MatchedReply::Data(_) => {}
            }
        }
    }

    /// Returns `None` if the server ended the waiting without being asked.
    async fn wait_for_change(
        &mut self,
        running: &RunningCommand,
        until: Instant,
        mut wake: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<Option<IdleEnd>, ImapError> {
        while !self.folder.is_some_and(|folder| folder.has_changed) {
            self.wire.set_idle(true);
            let reply = tokio::select! {
                // Input last: a server that never stops talking must not keep the wait from its end. A change that came
                // with the wake-up is read before the answer to DONE.
                biased;
                () = &mut wake => return Ok(Some(IdleEnd::Woken)),
                () = sleep_until(until) => return Ok(Some(IdleEnd::TimeUp)),
                reply = self.next_reply(Stage::Idle, until + FAR) => reply?,
            };
            if let MatchedReply::Done(outcome) = self.settle(running, reply) {
                self.wire.set_idle(false);
                return outcome.map(|_| None);
            }
        }
        Ok(Some(IdleEnd::Changed))
    }

    async fn end_idle(&mut self, running: &RunningCommand) -> Result<(), ImapError> {
        self.wire.set_idle(false);
        let deadline = Instant::now() + self.command_limit(Stage::Idle);
        // RFC 2177: without a tag; the tagged reply to IDLE follows.
        self.send(Stage::Idle, b"DONE\r\n").await?;
        loop {
            let reply = self.next_reply(Stage::Idle, deadline).await?;
            if let MatchedReply::Done(outcome) = self.settle(running, reply) {
                return outcome.map(drop);
            }
        }
    }
}

/// The wait itself ends by its own timer, well before this one.
const FAR: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_mins(1);

const fn changed(exists: u32) -> IdleReport {
    IdleReport {
        end: IdleEnd::Changed,
        exists: Some(exists),
    }
}

/// Waits before a server that ends IDLE at once is asked again, which would else be a busy loop.
async fn pause(until: Instant, wake: Pin<&mut (impl Future<Output = ()> + Send)>) -> IdleEnd {
    tokio::select! {
        () = wake => IdleEnd::Woken,
        () = sleep_until(until.min(Instant::now() + PAUSE)) => IdleEnd::TimeUp,
    }
}

/// A tagged reply in place of the consent: a refusal, or an `OK` to a wait that never began.
fn refused(error: Option<ImapError>) -> ImapError {
    error.unwrap_or(ImapError::Refused {
        stage: Stage::Idle,
        refusal: super::RefusalStatus::No,
        code: None,
        text: crate::ServerText::default(),
    })
}
