use std::str::FromStr;

use async_nats::{HeaderName, HeaderValue, StatusCode};

/// Why the NATS client cannot read a message that the server stores and delivers.
///
/// The client treats such a message as the end of the connection and drops what came behind it; it panics over a value that
/// it cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the subject is not UTF-8, or holds a space")]
    Subject,
    #[error("the headers are not UTF-8")]
    NotUtf8,
    #[error("the headers do not begin with their version")]
    Version,
    #[error("the headers begin with a status that is no number")]
    Status,
    #[error("a header line has no colon")]
    NoColon,
    #[error("a header name holds a space or a control character, or is not ASCII")]
    Name,
    #[error("a header value holds a line break")]
    Value,
}

/// Says whether the client can read a message with this subject and this header block, an empty one if it has none.
///
/// Follows the client's parser line by line (`Connection::try_read_op`), with the client's own types for the parts. The
/// subject comes from the server's JSON, in which a replacement character stands for what was not UTF-8.
pub(crate) fn check(subject: &str, headers: &[u8]) -> Result<(), Unreadable> {
    let is_odd = |character: char| {
        character == char::REPLACEMENT_CHARACTER || !headers.is_empty() && character.is_whitespace()
    };
    if subject.contains(is_odd) {
        return Err(Unreadable::Subject);
    }
    if headers.is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(headers).map_err(|_| Unreadable::NotUtf8)?;
    let mut lines = text.lines().peekable();
    let version = lines.next().and_then(|line| line.strip_prefix("NATS/1.0"));
    check_status(version.ok_or(Unreadable::Version)?)?;
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Unreadable::NoColon)?;
        HeaderName::from_str(name).map_err(|_| Unreadable::Name)?;
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        HeaderValue::from_str(value.trim_end()).map_err(|_| Unreadable::Value)?;
    }
    Ok(())
}

fn check_status(version_rest: &str) -> Result<(), Unreadable> {
    let rest = version_rest.trim();
    let status = rest.split_once(' ').map_or(rest, |(status, _)| status);
    if status.is_empty() {
        return Ok(());
    }
    let status = status.trim().parse::<StatusCode>();
    status.map(drop).map_err(|_| Unreadable::Status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_reads_passes() {
        for headers in [
            "",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nce-id: 1\r\nce-type: mail.send.v1\r\n\r\n",
            "NATS/1.0\r\nNats-Msg-Id:1\r\n:\r\nempty:\r\n\r\n",
            "NATS/1.0\r\nfolded: a\r\n b\r\n\tc\r\n\r\n",
            "NATS/1.0\r\nbreak-in-the-end: a\r\r\n\r\n",
            "NATS/1.0\nbare: line feeds\n\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
            "NATS/1.0\r\nnul: a\0b\r\nword: ä\r\n\r\n",
            "NATS/1.0",
        ] {
            assert_eq!(
                check("mail.send", headers.as_bytes()),
                Ok(()),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn what_the_client_cannot_read_is_told() {
        for (headers, why) in [
            (&b"NATS/1.0\r\nnote: \xff\r\n\r\n"[..], Unreadable::NotUtf8),
            (b"note: a\r\n\r\n", Unreadable::Version),
            (b"\r\n", Unreadable::Version),
            (b"NATS/1.0 abc\r\n\r\n", Unreadable::Status),
            (b"NATS/1.0 99\r\n\r\n", Unreadable::Status),
            (b"NATS/1.01\r\n\r\n", Unreadable::Status),
            (b"NATS/1.0\r\nnote: a\r\nb\r\n\r\n", Unreadable::NoColon),
            (b"NATS/1.0\r\nnote: a\nb\r\n\r\n", Unreadable::NoColon),
            (b"NATS/1.0\r\n \r\n\r\n", Unreadable::NoColon),
            (b"NATS/1.0\r\nmy note: a\r\n\r\n", Unreadable::Name),
            (b"NATS/1.0\r\nnote : a\r\n\r\n", Unreadable::Name),
            ("NATS/1.0\r\nnöte: a\r\n\r\n".as_bytes(), Unreadable::Name),
            (b"NATS/1.0\r\nnote: a\rb\r\n\r\n", Unreadable::Value),
            (b"NATS/1.0\r\nnote: a\r\r\n b\r\n\r\n", Unreadable::Value),
        ] {
            let shown = String::from_utf8_lossy(headers);
            assert_eq!(check("mail.send", headers), Err(why), "{shown:?}");
        }
    }

    #[test]
    fn subject_must_be_utf8_and_without_spaces_where_headers_follow() {
        let headers = b"NATS/1.0\r\n\r\n";

        for (subject, headers, expected) in [
            ("mail.send.b\u{fc}ro", &headers[..], Ok(())),
            ("mail.send.a\u{fffd}", headers, Err(Unreadable::Subject)),
            ("mail.send.a\u{fffd}", b"", Err(Unreadable::Subject)),
            ("mail.send.a\u{a0}b", headers, Err(Unreadable::Subject)),
            ("mail.send.a\u{a0}b", b"", Ok(())),
        ] {
            assert_eq!(check(subject, headers), expected, "{subject:?}");
        }
    }
}
