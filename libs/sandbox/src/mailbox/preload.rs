use std::fmt::Write as _;

use bytes::Bytes;

use super::{Flags, MailStore, MailStoreError};

const LINE: &str = "The quick brown fox jumps over the lazy dog while mail waits its turn.\r\n";

impl MailStore {
    /// Fills an INBOX with `count` distinct mails of `bytes_each` (at least their headers), for benchmarks.
    pub fn preload(
        &self,
        address: &str,
        count: usize,
        bytes_each: usize,
    ) -> Result<(), MailStoreError> {
        let now = self.now();
        self.change(address, "INBOX", |folder| {
            for _ in 0..count {
                // Numbered by UID, so that a second call makes other mails than the first.
                let raw = make_mail(address, folder.uid_next, bytes_each);
                folder.append(raw, Flags::default(), now);
            }
        })
    }
}

fn make_mail(address: &str, number: u32, bytes: usize) -> Bytes {
    let mut text = String::with_capacity(bytes.max(256));
    // Writing into a String cannot fail.
    write!(
        text,
        "From: Preloader <preload@sandbox.test>\r\nTo: {address}\r\nSubject: Preloaded mail {number}\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <preload-{number}@sandbox.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    .ok();
    while text.len() + LINE.len() <= bytes {
        text.push_str(LINE);
    }
    let rest = bytes.saturating_sub(text.len());
    text.extend(std::iter::repeat_n('x', rest));
    Bytes::from(text)
}
