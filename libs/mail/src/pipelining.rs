use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long commands go one at a time to a host whose session broke while they were pipelined.
const ONE_AT_A_TIME_FOR: Duration = Duration::from_hours(1);
/// Maximum hosts that are kept; beyond it those nearest to their end go first.
const MOST_HOSTS: usize = 10_000;

/// Hosts that announce PIPELINING (RFC 2920) and break over it: there are servers, and filters before them, that throw away
/// what comes behind the first command. Clones share it.
#[derive(Clone, Default)]
pub struct PipeliningRecord {
    hosts: Arc<Mutex<HashMap<String, Instant>>>,
}

impl PipeliningRecord {
    /// Returns whether commands may be pipelined to the host.
    pub(crate) fn allows(&self, host: &str, now: Instant) -> bool {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host).is_none_or(|until| *until <= now)
    }

    /// Notes that a session broke while commands were pipelined.
    pub(crate) fn note_break(&self, host: &str, now: Instant) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST_HOSTS {
            hosts.retain(|_, until| *until > now);
        }
        if hosts.len() >= MOST_HOSTS {
            let oldest = hosts.iter().min_by_key(|(_, until)| **until);
            let oldest = oldest.map(|(host, _)| host.clone());
            hosts.retain(|host, _| Some(host) != oldest.as_ref());
        }
        hosts.insert(host.to_owned(), now + ONE_AT_A_TIME_FOR);
    }
}

impl fmt::Debug for PipeliningRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PipeliningRecord")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_spared_for_a_while_and_others_are_not() {
        let record = PipeliningRecord::default();
        let now = Instant::now();

        record.clone().note_break("mx.test", now);

        assert!(!record.allows("mx.test", now) && record.allows("other.test", now));
        assert!(record.allows("mx.test", now + ONE_AT_A_TIME_FOR));
    }

    #[test]
    fn record_is_bounded() {
        let record = PipeliningRecord::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);

        record.note_break("first", now);
        for number in 0..MOST_HOSTS {
            record.note_break(&number.to_string(), later);
        }

        assert!(record.allows("first", later) && !record.allows("0", later));
    }
}
