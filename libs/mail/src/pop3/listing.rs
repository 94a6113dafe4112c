use mailmesh_domain::VerdictKind;
use tokio::time::Instant;

use super::capability::Capabilities;
use super::error::Pop3Error;
use super::limit::Pop3Limits;
use super::maildrop::{Maildrop, Overflow};
use super::reply::{ErrReply, Reply};
use super::stage::Stage;
use super::verdict::{RefusedStep, judge};
use super::wire::Wire;

const STAGE: Stage = Stage::List;

/// Reads the listing of the whole maildrop.
#[derive(Debug)]
pub(super) struct ListingReader<'a> {
    pub(super) wire: &'a mut Wire,
    pub(super) offered: &'a Capabilities,
    pub(super) limits: &'a Pop3Limits,
}

impl ListingReader<'_> {
    /// Asks for ids and sizes; `claimed` is the number of mails in the reply to STAT, if it has one.
    pub(super) async fn read(mut self, claimed: Option<u32>) -> Result<Maildrop, Pop3Error> {
        let limits = self.limits;
        let mut maildrop = Maildrop::default();
        let mut refusal = self
            .lines("UIDL", |line| maildrop.add_uidl(line, limits))
            .await?;
        if self.offered.has_uidl() && refusal.as_ref().is_some_and(is_unexplained) {
            // What the server announces it may refuse by a fault of the moment; there are others that never know it.
            refusal = self
                .lines("UIDL", |line| maildrop.add_uidl(line, limits))
                .await?;
        }
        maildrop.order();
        match refusal {
            None if maildrop.entries().is_empty() => {}
            // Sizes are hints; a server that refuses them is not asked again.
            None => {
                self.lines("LIST", |line| maildrop.add_size(line, claimed, limits))
                    .await?;
                maildrop.order();
            }
            Some(refusal) if !is_unexplained(&refusal) => {
                return Err(Pop3Error::Refused {
                    stage: STAGE,
                    refusal,
                });
            }
            Some(_) => {
                let add = |line: &[u8]| {
                    maildrop.add_nameless(line);
                    Ok(())
                };
                if let Some(refusal) = self.lines("LIST", add).await? {
                    return Err(Pop3Error::Refused {
                        stage: STAGE,
                        refusal,
                    });
                }
                maildrop.order();
            }
        }
        // Accepted as an empty mailbox, it would mark all known mails as absent.
        if maildrop.entries().is_empty() && claimed != Some(0) {
            return Err(Pop3Error::ListingEmpty);
        }
        maildrop.index();
        Ok(maildrop)
    }

    async fn lines(
        &mut self,
        command: &str,
        mut add: impl FnMut(&[u8]) -> Result<(), Overflow>,
    ) -> Result<Option<ErrReply>, Pop3Error> {
        let timeouts = &self.limits.timeouts;
        let reply = self.wire.command(STAGE, command, timeouts.command).await?;
        match reply {
            Reply::Ok(_) => {}
            Reply::Refused(refusal) => return Ok(Some(refusal)),
            Reply::Continue(_) => return Err(Pop3Error::Unreadable { stage: STAGE }),
        }
        let deadline = Instant::now() + timeouts.listing;
        let limit = self.limits.mails;
        let excess = |overflow: Overflow| Pop3Error::Excess {
            stage: STAGE,
            what: overflow.what,
            limit: overflow.limit,
        };
        for _ in 0..=limit {
            match self.wire.listed_line(STAGE, deadline).await? {
                Some(line) => add(&line).map_err(excess)?,
                None => return Ok(None),
            }
        }
        Err(excess(Overflow {
            what: "mails",
            limit,
        }))
    }
}

/// UIDL is optional (RFC 1939 §7), and servers without it refuse it in different words. A refusal that tells a reason is no sign
/// of that: taken for one, all mails would have to be read for their content.
fn is_unexplained(refusal: &ErrReply) -> bool {
    let verdict = judge(RefusedStep::Command(STAGE), refusal, None).verdict();
    verdict.kind == VerdictKind::Unknown
}

/// Asks for the number of mails; `None` if what the server says is no number. The size beside it is wrong at many
/// servers, and negative at some.
pub(super) async fn read_count(
    wire: &mut Wire,
    limits: &Pop3Limits,
) -> Result<Option<u32>, Pop3Error> {
    let stage = Stage::Status;
    match wire.command(stage, "STAT", limits.timeouts.command).await? {
        Reply::Ok(text) => {
            let word = text.split(u8::is_ascii_whitespace).next();
            Ok(word.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok()))
        }
        Reply::Refused(refusal) => Err(Pop3Error::Refused { stage, refusal }),
        Reply::Continue(_) => Err(Pop3Error::Unreadable { stage }),
    }
}
