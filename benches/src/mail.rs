//! Mails to send.

/// Returns a distinct mail of about so many bytes.
pub(crate) fn distinct(number: usize, to: &str, bytes: usize) -> Vec<u8> {
    let mut mail = format!(
        "From: bench@sandbox.test\r\nTo: {to}\r\nSubject: Mail {number}\r\n\
         Message-ID: <{number}@bench.sandbox.test>\r\n\
         Date: Tue, 24 Nov 2026 09:00:00 +0000\r\n\r\n"
    )
    .into_bytes();
    mail.extend_from_slice(body(number, bytes).as_bytes());
    mail
}

/// Returns a body of about so many bytes.
pub(crate) fn body(number: usize, bytes: usize) -> String {
    let line =
        format!("{number:08} the quick brown fox jumps over the lazy dog again and again\r\n");
    line.repeat(bytes / line.len() + 1)
}
