use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;

/// The source of the present moment; passed in, never fetched.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Returns the present moment in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug)]
pub struct ManualClock {
    milliseconds: AtomicI64,
}

impl ManualClock {
    /// Starts at `moment`, cut to whole milliseconds.
    pub fn starting_at(moment: OffsetDateTime) -> Self {
        let milliseconds = moment.unix_timestamp() * 1_000 + i64::from(moment.millisecond());
        Self {
            milliseconds: AtomicI64::new(milliseconds),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.milliseconds.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        let milliseconds = self.milliseconds.load(Ordering::SeqCst);
        OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(milliseconds)
    }
}
