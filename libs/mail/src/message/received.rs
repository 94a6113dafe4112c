use mail_parser::DateTime;
use time::OffsetDateTime;

use super::head::moment;

/// The trace fields of the last server come first.
const MOST_BYTES: usize = 16 * 1024;
const FIELD: &[u8] = b"received:";

/// Returns the moment in a mail's first `Received` field, which the server that keeps the mail has added (RFC 5321 §4.4):
/// POP3 has no other date of receipt.
pub(crate) fn received_at(head: &[u8]) -> Option<OffsetDateTime> {
    let head = head.get(..MOST_BYTES).unwrap_or(head);
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines
        .by_ref()
        .find(|line| is_received(line) || line.trim_ascii().is_empty())?;
    let mut field = first.get(FIELD.len()..)?.to_vec();
    for line in lines.take_while(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
        field.extend_from_slice(line);
    }
    let date = field.rsplit(|byte| *byte == b';').next()?;
    let date = std::str::from_utf8(date).ok()?;
    moment(&DateTime::parse_rfc822(date.trim())?)
}

fn is_received(line: &[u8]) -> bool {
    let name = line.get(..FIELD.len());
    name.is_some_and(|name| name.eq_ignore_ascii_case(FIELD))
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
