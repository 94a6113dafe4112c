use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use mailmesh_domain::MailId;

/// Raw mails that were built just now, so that sending them saves a read of `MAIL_RAW`.
#[derive(Debug)]
pub(crate) struct RawCache {
    inner: Mutex<Inner>,
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    mails: HashMap<MailId, Bytes>,
    order: VecDeque<MailId>,
    bytes: usize,
}

impl RawCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            inner: Mutex::default(),
            limit_bytes,
        }
    }

    pub(crate) fn put(&self, id: MailId, raw: Bytes) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.put(id, raw, self.limit_bytes);
    }

    /// Takes a mail out: it is sent once, and a retry hours later fetches it.
    pub(crate) fn take(&self, id: MailId) -> Option<Bytes> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = inner.mails.remove(&id)?;
        inner.bytes -= raw.len();
        Some(raw)
    }
}

impl Inner {
    fn put(&mut self, id: MailId, raw: Bytes, limit: usize) {
        if raw.len() > limit / 4 {
            return;
        }
        self.bytes += raw.len();
        self.order.push_back(id);
        if let Some(old) = self.mails.insert(id, raw) {
            self.bytes -= old.len();
        }
        while self.bytes > limit || self.order.len() > 2 * self.mails.len() + 16 {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(old) = self.mails.remove(&oldest) {
                self.bytes -= old.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> MailId {
        MailId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn oldest_mails_make_room_and_a_mail_is_taken_once() {
        let mut inner = Inner::default();
        for number in 0..10 {
            inner.put(id(number), Bytes::from(vec![0; 20]), 100);
        }
        assert_eq!(inner.bytes, 100);
        assert!(!inner.mails.contains_key(&id(4)));

        let cache = RawCache::new(1_000);
        cache.put(id(1), Bytes::from_static(b"x"));
        assert!(cache.take(id(1)).is_some());
        assert!(cache.take(id(1)).is_none());
    }

    #[test]
    fn order_of_mails_that_were_taken_does_not_grow() {
        let cache = RawCache::new(1_000);
        for number in 0..1_000 {
            cache.put(id(number), Bytes::from_static(b"x"));
            cache.take(id(number));
        }
        assert!(cache.inner.lock().unwrap().order.len() <= 20);
    }
}
