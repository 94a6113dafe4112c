use time::OffsetDateTime;

use super::date;
use super::field::{fields, split_head};

/// The trace fields of the last server come first.
const MOST_BYTES: usize = 16 * 1024;

/// Returns the moment in a mail's first `Received` field, which the server that keeps the mail has added (RFC 5321 §4.4):
/// POP3 has no other date of receipt.
pub(crate) fn received_at(head: &[u8]) -> Option<OffsetDateTime> {
    let head = head.get(..MOST_BYTES).unwrap_or(head);
    let (head, _) = split_head(head);
    let field = fields(head).find(|field| field.is("Received"))?;
    let date = field.value.rsplit(|octet| *octet == b';').next()?;
    date::read(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_received_field_says_when() {
        let unix = |head: &str| received_at(head.as_bytes()).map(OffsetDateTime::unix_timestamp);
        let gmail = "Delivered-To: a@b.c\r\nReceived: by 2002:a05:1 with SMTP id x;\r\n        Mon, 30 Nov 2026 06:00:00 -0800 (PST)\r\nReceived: from y; Sun, 29 Nov 2026 06:00:00 +0000\r\n\r\n";

        assert_eq!(unix(gmail), Some(1_796_047_200));
        for none in [
            "",
            "Subject: x\r\n\r\nReceived: from y; Sun, 29 Nov 2026 06:00:00 +0000\r\n",
            "Received: from y\r\n\r\n",
            "Received: from y; soon\r\n\r\n",
            "Received:",
        ] {
            assert_eq!(unix(none), None, "{none}");
        }
    }
}
