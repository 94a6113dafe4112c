use std::collections::HashMap;

use mailmesh_mail::SourceError;
use mailmesh_mail::source::ListedMail;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::receive::control_fetch::{ControlFetch, fetch_control};
use crate::receive::quarantine::{self, QuarantineDecision, may_be_of_a_mail};

/// A mail that failed so often that one more failure may quarantine it.
#[derive(Debug, Clone)]
struct PoisonCandidate {
    mail: ListedMail,
    attempts: i32,
}

impl PoisonCandidate {
    /// Returns whether this is the mail, whose ordinal may be another in each session.
    fn is(&self, mail: &ListedMail) -> bool {
        // Without ids the place in the listing and the size are all there is.
        let is_at_place = self.mail.ordinal == mail.ordinal && self.mail.bytes == mail.bytes;
        self.mail.position == mail.position && (is_at_place || !mail.position.is_nameless())
    }
}

/// A fetch of a mail that was asked for alone, so that a failure is held against it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SingleFetch<'a> {
    pub(crate) folder: &'a str,
    pub(crate) mail: &'a ListedMail,
    /// What was read right before.
    pub(crate) control: ControlFetch,
}

/// Failed fetches of one folder.
#[derive(Debug, Default)]
struct BrokenFolder {
    /// Up to this ordinal mails are asked for one by one, as a batch of them failed.
    individually_until: Option<u64>,
    candidate: Option<PoisonCandidate>,
}

/// Finds, folder by folder, the mails that break fetches, so that they stop no others.
#[derive(Debug, Default)]
pub(crate) struct PoisonTracker {
    /// Folders without trouble are not in it.
    folders: HashMap<String, BrokenFolder>,
}

impl PoisonTracker {
    /// Returns the folders with trouble.
    pub(crate) fn folders(&self) -> Vec<String> {
        self.folders.keys().cloned().collect()
    }

    /// Returns whether the folder's next mails are asked for one by one.
    pub(crate) fn fetches_individually(&self, folder: &str) -> bool {
        let broken = self.folders.get(folder);
        broken.is_some_and(|broken| broken.individually_until.is_some())
    }

    /// Returns how many of the mails, up to `most`, are asked for together: after a batch failed, each alone, so that the
    /// good ones come; so is a poison candidate.
    pub(crate) fn batch_size(&mut self, folder: &str, mails: &[ListedMail], most: usize) -> usize {
        let Some(broken) = self.folders.get_mut(folder) else {
            return most;
        };
        let next = mails.first().map(|mail| mail.ordinal);
        if broken
            .individually_until
            .is_some_and(|until| next <= Some(until))
        {
            return 1;
        }
        broken.individually_until = None;
        let Some(candidate) = &broken.candidate else {
            self.folders.remove(folder);
            return most;
        };
        let is_candidate = |mail: &ListedMail| candidate.is(mail);
        let before = mails.iter().position(is_candidate);
        before.map_or(most, |before| before.clamp(1, most))
    }

    /// Records that a fetch of several mails failed; `has_advanced` if some of them need not be fetched again.
    pub(crate) fn note_batch(
        &mut self,
        folder: &str,
        last: u64,
        error: &SourceError,
        has_advanced: bool,
    ) {
        // Not after a throttle or an outage: no mail is at fault, and fetching one by one would add load.
        if may_be_of_a_mail(error, has_advanced) {
            self.broken(folder).individually_until = Some(last);
        }
    }

    /// Reads other mails of the folder first, if this one is a candidate.
    pub(crate) async fn control(
        &mut self,
        folder: &mut OpenFolder<'_>,
        mail: &ListedMail,
    ) -> Result<ControlFetch, WatchFailure> {
        let broken = self.folders.get_mut(folder.name);
        let candidate = broken.and_then(|broken| {
            let candidate = &mut broken.candidate;
            candidate.take_if(|candidate| candidate.is(mail))
        });
        let Some(candidate) = candidate else {
            return Ok(ControlFetch::Inconclusive);
        };
        let control = fetch_control(folder.source, mail.ordinal, candidate.attempts).await;
        if control.is_err() {
            // The other mail may be broken as well: the next session begins with another.
            let attempts = candidate.attempts.saturating_add(1);
            self.broken(folder.name).candidate = Some(PoisonCandidate {
                attempts,
                ..candidate
            });
        }
        control
    }

    /// Counts a failure of a mail that was asked for alone; returns whether the cursor may pass it now.
    pub(crate) async fn count_failure(
        &mut self,
        owner: &AccountContext,
        fetch: SingleFetch<'_>,
        error: &SourceError,
    ) -> Result<bool, WatchFailure> {
        let (folder, mail) = (fetch.folder, fetch.mail);
        match quarantine::count_failure(owner, folder, mail, error, fetch.control).await? {
            QuarantineDecision::NotCounted => Ok(false),
            QuarantineDecision::Counted {
                attempts,
                is_candidate,
            } => {
                let mail = mail.clone();
                let candidate = is_candidate.then_some(PoisonCandidate { mail, attempts });
                self.broken(fetch.folder).candidate = candidate;
                Ok(false)
            }
            QuarantineDecision::Quarantined => Ok(true),
        }
    }

    fn broken(&mut self, folder: &str) -> &mut BrokenFolder {
        self.folders.entry(folder.to_owned()).or_default()
    }
}
