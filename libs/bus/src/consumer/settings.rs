use std::time::Duration;

use crate::cause::NatsCause;
use crate::stream::StreamKind;
use crate::subject::is_token;

/// Which messages a new consumer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest one that the stream holds.
    All,
    /// With the first one after the consumer was made.
    New,
}

/// How messages are consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    pub stream: StreamKind,
    /// Which subjects, without the prefix; none means all of the stream.
    pub filters: Vec<String>,
    /// Where to begin when the consumer is new.
    pub start_at: StartAt,
    /// Maximum messages of one batch; two batches may be in flight.
    pub max_in_hand: usize,
    /// Maximum bytes of one batch, which one message may exceed; a second batch waits for one that has so many. What the
    /// server sends ahead is bounded by it, too.
    pub max_batch_bytes: usize,
    /// Time without acknowledgement or progress signal after which the server delivers a message again.
    pub ack_wait: Duration,
    /// Time limit for the work on a batch, which is then retried. The wait for the batch before does not count.
    pub work_timeout: Duration,
    /// Attempts after which a message is dead-lettered.
    pub max_attempts: u32,
    /// Delay after each failed attempt; the last one repeats.
    pub retry_delays: Vec<Duration>,
}

/// Why consuming did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// A message could be delivered to another replica while this one still works on it.
    #[error(
        "ack wait of consumer {consumer} is {} s, it must be at least {} s for its work timeout",
        ack_wait.as_secs(), needed.as_secs()
    )]
    AckWait {
        consumer: &'static str,
        ack_wait: Duration,
        needed: Duration,
    },
    /// A number is 0 that must not be, or the name cannot be used.
    #[error("consumer {consumer} needs a plain name, at least one attempt and one message in hand")]
    Settings { consumer: &'static str },
    /// The server refuses the consumer.
    #[error("the server refused consumer {consumer} on {stream}")]
    Refused {
        consumer: &'static str,
        stream: &'static str,
        #[source]
        source: NatsCause,
    },
}

impl ConsumerSettings {
    /// Returns settings for work of up to 30 seconds a batch.
    pub fn new(stream: StreamKind, filters: &[&str]) -> Self {
        Self {
            stream,
            filters: filters.iter().map(|&each| each.to_owned()).collect(),
            start_at: StartAt::All,
            max_in_hand: 64,
            max_batch_bytes: 32 * 1024 * 1024,
            ack_wait: Duration::from_mins(1),
            work_timeout: Duration::from_secs(30),
            max_attempts: 10,
            retry_delays: [1, 5, 30, 120, 600].map(Duration::from_secs).to_vec(),
        }
    }

    pub(super) fn validate(&self, consumer: &'static str) -> Result<(), ConsumeError> {
        if !is_token(consumer)
            || self.max_in_hand == 0
            || self.max_batch_bytes == 0
            || self.max_attempts == 0
        {
            return Err(ConsumeError::Settings { consumer });
        }
        // The ack wait of the next batch runs while it waits for the batch before.
        let needed = self.work_timeout.saturating_mul(2);
        if self.ack_wait < needed {
            return Err(ConsumeError::AckWait {
                consumer,
                ack_wait: self.ack_wait,
                needed,
            });
        }
        Ok(())
    }

    pub(super) fn delay_after(&self, attempt: u32) -> Duration {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = self.retry_delays.get(index).or(self.retry_delays.last());
        delay.copied().unwrap_or(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_follows_the_schedule_and_its_last_entry_repeats() {
        let settings = ConsumerSettings::new(StreamKind::Events, &[]);

        let seconds: Vec<u64> = (1..=7)
            .map(|attempt| settings.delay_after(attempt).as_secs())
            .collect();

        assert_eq!(seconds, [1, 5, 30, 120, 600, 600, 600]);
    }

    #[test]
    fn ack_wait_below_the_work_timeout_of_two_batches_is_refused() {
        let mut settings = ConsumerSettings::new(StreamKind::Events, &[]);
        assert!(settings.validate("c").is_ok());

        settings.ack_wait = settings.work_timeout.mul_f32(1.9);

        let refused = settings.validate("c");
        assert!(matches!(refused, Err(ConsumeError::AckWait { .. })));
    }
}
