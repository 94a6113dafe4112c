//! When claims that have ended may be taken over.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than one try to store takes: replicas that hold new tokens because the database was away
/// store them first. The refresh token in the row is spent, and sending it again would cost the grant.
const SETTLING: Duration = Duration::from_secs(20);

/// Whether the database has answered for long enough that an ended claim has no holder any more.
#[derive(Debug, Default)]
pub(crate) struct Takeover {
    answering_since: Option<Instant>,
}

impl Takeover {
    pub(crate) fn note<T, E>(&mut self, answer: &Result<T, E>) {
        match answer {
            Ok(_) => {
                self.answering_since.get_or_insert_with(Instant::now);
            }
            Err(_) => self.answering_since = None,
        }
    }

    pub(crate) fn is_safe(&self) -> bool {
        self.answering_since
            .is_some_and(|since| since.elapsed() >= SETTLING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_came_back_is_given_time_first() {
        let mut takeover = Takeover::default();
        let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));

        assert!(!takeover.is_safe());
        takeover.note::<_, ()>(&Ok(()));
        pass(19).await;
        takeover.note::<_, ()>(&Ok(()));
        assert!(!takeover.is_safe());
        pass(1).await;
        assert!(takeover.is_safe());

        takeover.note::<(), _>(&Err(()));
        pass(60).await;
        assert!(!takeover.is_safe());
        takeover.note::<_, ()>(&Ok(()));
        assert!(!takeover.is_safe());
        pass(20).await;
        assert!(takeover.is_safe());
    }
}
