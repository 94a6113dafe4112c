//! Who is to blame when a mail cannot be read: the mail, or the server.

use mailmesh_domain::VerdictKind;
use mailmesh_mail::imap::{ImapError, Session};
use mailmesh_store::mailbox::Cursor;

use crate::account::Worker;
use crate::failure::Failure;
use crate::fetch::Chunk;
use crate::quarantine::{self, Judgement};

/// Enough to prove that the server shows mails.
const PROBE_BYTES: u32 = 64 * 1024;

/// What other mails of the folder say of the server, right before a suspect is asked for once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Witness {
    /// Nobody was asked, or none of them could be read either.
    #[default]
    Silent,
    /// Another mail was read.
    Read,
    /// The folder holds no other.
    NoOther,
}

/// A mail that failed so often that one more failure may set it aside.
#[derive(Debug)]
pub(crate) struct Suspect {
    folder: String,
    uid: u32,
    attempts: i32,
}

impl Suspect {
    pub(crate) fn is(&self, folder: &str, uid: u32) -> bool {
        self.uid == uid && self.folder == folder
    }
}

impl Worker {
    /// Lets other mails of the open folder speak, if this one is suspected. A fault of the server
    /// then shows as theirs too, also one that ended just now.
    pub(crate) async fn hear_witness(
        &mut self,
        session: &mut Session,
        folder: &str,
        uid: u32,
    ) -> Result<Witness, Failure> {
        let suspect = self
            .suspect
            .take_if(|suspect| suspect.is(folder, uid))
            .map(|suspect| suspect.attempts);
        let Some(attempts) = suspect else {
            return Ok(Witness::Silent);
        };
        let mut others = session.uids_after(uid).await?;
        if others.is_empty() {
            others = session.uids_after(0).await?;
            others.retain(|other| *other != uid);
        }
        if others.is_empty() {
            return Ok(Witness::NoOther);
        }
        for other in choose(&others, attempts) {
            match session.fetch_slice(other, 0, PROBE_BYTES).await {
                Ok(_) => return Ok(Witness::Read),
                Err(error) if error.is_session_healthy() && !is_throttle(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Witness::Silent)
    }

    /// Counts a failure of one mail; if that was the last, the cursor passes the mail.
    pub(crate) async fn blame(
        &mut self,
        chunk: &mut Chunk<'_>,
        uid: u32,
        error: &ImapError,
    ) -> Result<bool, Failure> {
        let Some(cursor) = self.cursor(chunk.folder) else {
            return Ok(false);
        };
        match self.judge(cursor, uid, error, chunk.witness).await? {
            Judgement::NotCounted => Ok(false),
            Judgement::Counted {
                attempts,
                is_suspect,
            } => {
                self.suspect = is_suspect.then(|| {
                    Box::new(Suspect {
                        folder: chunk.folder.to_owned(),
                        uid,
                        attempts,
                    })
                });
                Ok(false)
            }
            Judgement::SetAside => {
                chunk.pending.remove(&uid);
                chunk.has_set_aside = true;
                Ok(true)
            }
        }
    }

    async fn judge(
        &self,
        cursor: &Cursor,
        uid: u32,
        error: &ImapError,
        witness: Witness,
    ) -> Result<Judgement, Failure> {
        quarantine::count(&self.context, &self.account, cursor, uid, error, witness).await
    }
}

fn is_throttle(error: &ImapError) -> bool {
    error.verdict().kind == VerdictKind::Throttled
}

/// Chooses some of the mails, as any may be broken as well; others with each attempt, beginning with the first and the last.
fn choose(others: &[u32], attempts: i32) -> Vec<u32> {
    let attempts = usize::try_from(attempts).unwrap_or(0);
    let spread = attempts.wrapping_mul(7_919) % others.len().max(1);
    let mut chosen = Vec::new();
    for other in [others.first(), others.last(), others.get(spread)] {
        chosen.extend(other.filter(|other| !chosen.contains(*other)));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_mails_speak_with_each_attempt() {
        let others: Vec<u32> = (1..=1_000).collect();

        let chosen: std::collections::BTreeSet<u32> = (3..23)
            .flat_map(|attempts| choose(&others, attempts))
            .collect();

        assert!(chosen.len() > 20, "{chosen:?}");
        assert_eq!(choose(&[5], 3), [5]);
        assert_eq!(choose(&[5, 6], 4), [5, 6]);
    }
}
