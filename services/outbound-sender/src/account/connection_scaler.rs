use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::RECONNECT;

/// Decides whether another connection may be opened beside the open ones. Servers count refused logins, so after a refusal
/// there is one try at a time, with a doubling pause before each.
#[derive(Debug, Default)]
pub(super) struct ConnectionScaler {
    refusals: u32,
    not_before: Option<Instant>,
    /// Held by whoever is opening a connection.
    opening: Arc<()>,
    /// Whether one was tried since the last refusal.
    is_tried: bool,
}

/// A connection that is being opened, until this is dropped.
#[derive(Debug)]
pub(super) struct OpeningPermit(#[expect(dead_code, reason = "counted, never read")] Arc<()>);

impl ConnectionScaler {
    /// Returns a permit to open one more, if that may be tried now.
    pub(super) fn try_open(&mut self) -> Option<OpeningPermit> {
        if self.refusals > 0 {
            let is_opening = Arc::strong_count(&self.opening) > 1;
            if is_opening
                || self
                    .not_before
                    .is_some_and(|not_before| Instant::now() < not_before)
            {
                return None;
            }
            if self.is_tried {
                // The last one was not refused.
                self.refusals = 0;
            }
            self.is_tried = true;
        }
        Some(OpeningPermit(Arc::clone(&self.opening)))
    }

    /// `rest` is the pause that the refusal asks for at least.
    pub(super) fn record_refusal(&mut self, rest: Duration) {
        let now = Instant::now();
        // Connections that were opened at the same time meet the same limit: their refusals count once.
        if self.not_before.is_none_or(|not_before| now >= not_before) {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.is_tried = false;
        let until = now + RECONNECT.after_or(self.refusals, rest);
        self.not_before = self.not_before.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_REST: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_one_is_tried_in_each_pause() {
        let mut scaler = ConnectionScaler::default();
        let burst = [scaler.try_open(), scaler.try_open(), scaler.try_open()];
        assert!(burst.iter().all(Option::is_some));
        drop(burst);
        scaler.record_refusal(NO_REST);
        scaler.record_refusal(NO_REST);

        for pause in [5, 10, 20] {
            tokio::time::advance(Duration::from_millis(pause * 1_000 - 1)).await;
            assert!(scaler.try_open().is_none(), "{pause}");
            tokio::time::advance(Duration::from_millis(pause * 500 + 1)).await;
            let opening = scaler.try_open();
            assert!(opening.is_some(), "{pause}");
            assert!(scaler.try_open().is_none(), "one at a time");
            drop(opening);
            scaler.record_refusal(NO_REST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_opens_ends_the_pauses_and_a_refusal_may_ask_for_longer_ones() {
        let mut scaler = ConnectionScaler::default();
        scaler.record_refusal(Duration::from_mins(15));
        tokio::time::advance(Duration::from_mins(14)).await;
        assert!(scaler.try_open().is_none());
        tokio::time::advance(Duration::from_mins(9)).await;

        drop(scaler.try_open());

        let free = [scaler.try_open(), scaler.try_open()];
        assert!(free.iter().all(Option::is_some));
    }
}
