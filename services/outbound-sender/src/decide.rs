//! What an attempt means for the mail and its account. Pure: the same end at the same moment is
//! always the same decision.

mod attempt;
mod case;
mod uncertain;

pub(crate) use attempt::{AttemptResult, decide};
pub(crate) use case::{Decision, MailEventKind};
pub(crate) use uncertain::{assume_sent, held, send_again};

#[cfg(test)]
mod tests;
