use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mailmesh_bus::Delivery;

/// Tries of what is only computation: it has no outage to wait for, and ends the same way each time.
const MAX_TRIES: u32 = 3;
/// Commands that are remembered; the oldest are forgotten first and have all their tries again.
const MAX_REMEMBERED: usize = 1_000;

/// How often reading or building each command has failed in this process: it took too long, panicked, or came to a row that
/// the database refuses. The deliveries of NATS count outages as well, and cannot tell.
#[derive(Debug, Default)]
pub(crate) struct FailedComputations {
    tries: Mutex<BTreeMap<(u64, i128), u32>>,
}

impl FailedComputations {
    /// Counts a failure, and returns whether the command is to be given up.
    pub(super) fn record(&self, delivery: &Delivery) -> bool {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tries.entry(key(delivery)).or_default();
        *count += 1;
        let is_over = *count >= MAX_TRIES;
        if tries.len() > MAX_REMEMBERED {
            tries.pop_first();
        }
        is_over
    }

    /// Returns whether the command was given up before, and its rejection or dead letter not stored.
    pub(super) fn is_over(&self, delivery: &Delivery) -> bool {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries
            .get(&key(delivery))
            .is_some_and(|count| *count >= MAX_TRIES)
    }
}

/// A sequence begins again when the stream is made anew.
fn key(delivery: &Delivery) -> (u64, i128) {
    let moment = delivery.timestamp.unix_timestamp_nanos();
    (delivery.stream_sequence, moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::delivery;

    #[test]
    fn command_is_given_up_after_its_third_failure() {
        let failed = FailedComputations::default();
        let (bad, other) = (delivery(7), delivery(8));

        assert!(!failed.record(&bad) && !failed.record(&bad) && !failed.is_over(&bad));
        assert!(failed.record(&bad) && failed.is_over(&bad));
        assert!(!failed.is_over(&other) && !failed.record(&other));
    }

    #[test]
    fn as_many_are_remembered_as_fit() {
        let failed = FailedComputations::default();
        for sequence in 0..3_000 {
            failed.record(&delivery(sequence));
        }
        assert_eq!(failed.tries.lock().unwrap().len(), MAX_REMEMBERED);
    }
}
