//! Decides what an attempt's result means for the mail and its account. Pure: depends only on mail, result and moment.

mod attempt;
mod case;
mod uncertain;

pub(crate) use attempt::{AttemptResult, decide};
pub(crate) use case::{Decision, MailEventKind};
pub(crate) use uncertain::{assume_sent, held, send_again};

#[cfg(test)]
mod tests;
