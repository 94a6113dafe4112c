//! The IMAP server, byte for byte.

mod change;
mod hostile;
mod read;
mod sign_in;
mod watch;

use bytes::Bytes;

const MAIL: &[u8] =
    b"From: Bob <bob@sandbox.test>\r\nSubject: Hello\r\nMessage-ID: <1@sandbox.test>\r\n\r\nOne\r\nTwo\r\n";

fn mail(number: usize) -> Bytes {
    Bytes::from(format!("Subject: {number}\r\n\r\nbody {number}\r\n"))
}

fn last(lines: &[String]) -> &str {
    lines.last().map(String::as_str).unwrap_or_default()
}
