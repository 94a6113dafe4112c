/// Returns what a server speaks that begins so, if that is one of the protocols which ports are mixed up with.
pub(crate) fn spoken(line: &[u8]) -> Option<&'static str> {
    const STARTS: &[(&[u8], &str)] = &[
        (b"* OK", "IMAP"),
        (b"* PREAUTH", "IMAP"),
        (b"* BYE", "IMAP"),
        (b"+OK", "POP3"),
        (b"-ERR", "POP3"),
        (b"220", "SMTP or FTP"),
        (b"421", "SMTP or FTP"),
        (b"554", "SMTP"),
        (b"HTTP/", "HTTP"),
        (b"<", "HTTP"),
        (b"SSH-", "SSH"),
        // A TLS record: an alert or a handshake (RFC 8446 §5.1).
        (b"\x15\x03", "TLS"),
        (b"\x16\x03", "TLS"),
    ];
    let found = STARTS.iter().find(|(start, _)| line.starts_with(start));
    found.map(|(_, spoken)| *spoken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_by_how_their_servers_begin() {
        for (line, expected) in [
            (&b"* OK IMAP4rev1 ready\r\n"[..], Some("IMAP")),
            (b"+OK POP3 ready\r\n", Some("POP3")),
            (b"220 mx.example ESMTP\r\n", Some("SMTP or FTP")),
            (b"HTTP/1.1 400 Bad Request\r\n", Some("HTTP")),
            (b"<html>\r\n", Some("HTTP")),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Some("SSH")),
            (b"\x15\x03\x01\0\x02\x02\n", Some("TLS")),
            (b"hello\r\n", None),
            (b"", None),
        ] {
            assert_eq!(spoken(line), expected, "{line:?}");
        }
    }
}
