use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the server last said anything, readable while the session is busy or idle.
#[derive(Debug, Clone)]
pub struct ProofOfLife {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    start: Instant,
    milliseconds: AtomicU64,
}

impl ProofOfLife {
    pub(super) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                start: Instant::now(),
                milliseconds: AtomicU64::new(0),
            }),
        }
    }

    pub(super) fn renew(&self) {
        let elapsed = self.inner.start.elapsed().as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.inner.milliseconds.store(elapsed, Ordering::Relaxed);
    }

    /// Returns when the last complete reply came, or when the session began.
    pub fn last_at(&self) -> Instant {
        let elapsed = self.inner.milliseconds.load(Ordering::Relaxed);
        self.inner.start + Duration::from_millis(elapsed)
    }
}
