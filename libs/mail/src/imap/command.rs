use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{ImapError, RefusalStatus, Stage};
use super::folder::read_uid_validity;
use super::reply::{Reply, Status, StatusResponse};
use super::session::Session;
use crate::ServerText;

/// Maximum replies to one command that have no effect. A folder all of whose mails are marked as read tells as many changes
/// of flags as it has mails.
const MOST_IDLE_TALK: u32 = 100_000;

/// A command under way.
#[derive(Debug, Clone)]
pub(super) struct RunningCommand {
    pub(super) stage: Stage,
    pub(super) tag: String,
}

impl Session {
    /// Runs a command whose data does not matter.
    pub(super) async fn run(
        &mut self,
        stage: Stage,
        command: &str,
    ) -> Result<StatusResponse, ImapError> {
        self.run_with(stage, command, |_| {}).await
    }

    /// Runs a command and hands its untagged replies over; `NO` and `BAD` are errors.
    pub(super) async fn run_with(
        &mut self,
        stage: Stage,
        command: &str,
        mut on_reply: impl FnMut(Reply) + Send,
    ) -> Result<StatusResponse, ImapError> {
        let deadline = Instant::now() + self.command_limit(stage);
        let running = self.start(stage, command).await?;
        loop {
            let reply = self.next_reply(stage, deadline).await?;
            match self.settle(&running, reply) {
                MatchedReply::Done(outcome) => return outcome,
                MatchedReply::Data(reply) => on_reply(reply),
            }
        }
    }

    /// Sends a command. From here to its tagged reply the session is not ready: a future dropped in between leaves a
    /// connection on which replies can no longer be matched to commands.
    pub(super) async fn start(
        &mut self,
        stage: Stage,
        command: &str,
    ) -> Result<RunningCommand, ImapError> {
        self.close_body().await?;
        if !std::mem::take(&mut self.is_ready) {
            return Err(ImapError::Closed);
        }
        self.last_tag = self.last_tag.wrapping_add(1);
        self.idle_talk = 0;
        let tag = format!("A{}", self.last_tag);
        let line = format!("{tag} {command}\r\n");
        self.send(stage, line.as_bytes()).await?;
        Ok(RunningCommand { stage, tag })
    }

    pub(super) async fn send(&mut self, stage: Stage, bytes: &[u8]) -> Result<(), ImapError> {
        timeout(self.command_limit(stage), self.wire.send(bytes))
            .await
            .map_err(|_| ImapError::TimedOut { stage })?
            .map_err(|source| ImapError::ConnectionLost { stage, source })
    }

    /// Distinguishes the end of a command from its data.
    pub(super) fn settle(&mut self, running: &RunningCommand, reply: Reply) -> MatchedReply {
        match reply {
            Reply::Tagged { tag, outcome } if tag == running.tag => {
                self.is_ready = true;
                MatchedReply::Done(check(running.stage, outcome))
            }
            // A tag that we did not send: replies can no longer be matched to commands.
            Reply::Tagged { outcome, .. } => MatchedReply::Done(Err(ImapError::Unreadable {
                stage: running.stage,
                text: outcome.text,
            })),
            other => MatchedReply::Data(other),
        }
    }

    pub(super) async fn next_reply(
        &mut self,
        stage: Stage,
        deadline: Instant,
    ) -> Result<Reply, ImapError> {
        self.next_reply_within(stage, deadline, Duration::MAX).await
    }

    /// Reads one reply before the deadline, and with no pause longer than `silence`.
    pub(super) async fn next_reply_within(
        &mut self,
        stage: Stage,
        deadline: Instant,
        silence: Duration,
    ) -> Result<Reply, ImapError> {
        let frame = self.next_frame(stage, deadline, silence).await?;
        self.take_note(stage, Reply::read(&frame))
    }

    pub(super) async fn next_frame(
        &mut self,
        stage: Stage,
        deadline: Instant,
        silence: Duration,
    ) -> Result<Bytes, ImapError> {
        loop {
            let frame = self
                .wire
                .take_response()
                .map_err(|source| ImapError::Excess { stage, source })?;
            // Before input that is there already: a server that never stops talking would have no time limit.
            if Instant::now() >= deadline {
                return Err(ImapError::TimedOut { stage });
            }
            if let Some(frame) = frame {
                return Ok(frame);
            }
            let until = Instant::now()
                .checked_add(silence)
                .map_or(deadline, |quiet| quiet.min(deadline));
            timeout_at(until, self.wire.fill())
                .await
                .map_err(|_| ImapError::TimedOut { stage })?
                .map_err(|source| ImapError::ConnectionLost { stage, source })?;
        }
    }

    /// Records what untagged replies and response codes report of the folder, the server, or the session's end.
    fn take_note(&mut self, stage: Stage, reply: Reply) -> Result<Reply, ImapError> {
        match &reply {
            // RFC 3501 §7.1.5: may come at any moment. Its text is all that tells why, as Exchange's
            // `Session invalidated - AccessTokenExpired`.
            Reply::Status(outcome) if outcome.status == Status::Bye && stage != Stage::Logout => {
                self.is_ready = false;
                return Err(ImapError::Bye {
                    stage,
                    code: outcome.code_name(),
                    text: outcome.text.clone(),
                });
            }
            Reply::Stray(line) => {
                return Err(ImapError::Unreadable {
                    stage,
                    text: ServerText::new(line),
                });
            }
            Reply::Capability(capabilities) => self.capabilities = Some(*capabilities),
            Reply::Status(outcome) | Reply::Tagged { outcome, .. } => {
                if let Some(list) = outcome.argument("CAPABILITY") {
                    self.capabilities = Some(super::Capabilities::read(list));
                }
            }
            _ => {}
        }
        if has_no_effect(stage, &reply) {
            self.idle_talk = self.idle_talk.saturating_add(1);
            if self.idle_talk > MOST_IDLE_TALK {
                self.is_ready = false;
                return Err(ImapError::TalksOnly { stage });
            }
        }
        if let Some(folder) = self.folder.as_mut() {
            folder.take_note(&reply);
            if folder.is_renumbered_by(&reply) {
                self.is_ready = false;
                return Err(ImapError::Renumbered);
            }
        }
        Ok(reply)
    }
}

/// Returns whether a reply brings neither what was asked for nor what is waited for. Changes of flags are no news to us.
const fn has_no_effect(stage: Stage, reply: &Reply) -> bool {
    match reply {
        // Dovecot says `* OK Still here` every two minutes of IDLE.
        Reply::Status(_) | Reply::Other | Reply::Recent => true,
        Reply::Fetch(_) | Reply::BrokenFetch { .. } => {
            !matches!(stage, Stage::Fetch | Stage::Search)
        }
        _ => false,
    }
}

impl super::session::FolderUpdates {
    /// Returns whether a reply tells another UIDVALIDITY than the folder was opened under.
    fn is_renumbered_by(&self, reply: &Reply) -> bool {
        let (Reply::Status(outcome) | Reply::Tagged { outcome, .. }) = reply else {
            return false;
        };
        let told = outcome.argument("UIDVALIDITY").and_then(read_uid_validity);
        told.is_some() && self.uid_validity.is_some() && told != self.uid_validity
    }

    fn take_note(&mut self, reply: &Reply) {
        match reply {
            Reply::Exists(exists) => {
                self.exists = *exists;
                self.is_counted = true;
                self.has_changed = true;
            }
            Reply::Expunge => {
                self.exists = self.exists.saturating_sub(1);
                self.looked_at = self.looked_at.saturating_sub(1);
                self.expunged += 1;
                self.has_changed = true;
            }
            Reply::Vanished => {
                self.expunged += 1;
                self.has_changed = true;
            }
            _ => {}
        }
    }
}

/// What a reply was to the command under way.
#[derive(Debug)]
pub(super) enum MatchedReply {
    Done(Result<StatusResponse, ImapError>),
    Data(Reply),
}

/// Turns a tagged `NO` or `BAD` into an error.
fn check(stage: Stage, outcome: StatusResponse) -> Result<StatusResponse, ImapError> {
    let refusal = match outcome.status {
        Status::Ok | Status::PreAuth => return Ok(outcome),
        Status::No | Status::Bye => RefusalStatus::No,
        Status::Bad => RefusalStatus::Bad,
    };
    Err(ImapError::Refused {
        stage,
        refusal,
        code: outcome.code_name(),
        text: outcome.text,
    })
}
