use bytes::Bytes;

use crate::server::bytes::{find_byte, trim_line_end};

/// Cuts a mail before each dot that must be doubled: one more dot belongs between any two parts.
///
/// RFC 1939 knows lines that end with CRLF only. A dot after a bare LF or CR begins no line: doubled, a strict client
/// would keep both; what such clients read is the mail byte for byte.
pub(super) fn split_at_dots(raw: &Bytes) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut searched = 0;
    while let Some(found) = find_byte(b'.', raw.get(searched..).unwrap_or_default()) {
        let dot = searched + found;
        let is_line_start = raw
            .get(..dot)
            .is_some_and(|before| before.is_empty() || before.ends_with(b"\r\n"));
        if is_line_start {
            parts.push(raw.slice(from..dot));
            from = dot;
        }
        searched = dot + 1;
    }
    parts.push(raw.slice(from..));
    parts
}

/// Returns what ends a mail: a CRLF, unless it ends with one or is empty, and the line with the dot.
pub(super) fn ending(raw: &[u8]) -> &'static [u8] {
    if raw.is_empty() || raw.ends_with(b"\r\n") {
        b".\r\n"
    } else {
        b"\r\n.\r\n"
    }
}

/// Returns the header, the empty line and the first `lines` lines of the body.
pub(super) fn top(raw: &Bytes, lines: usize) -> Bytes {
    let mut end = 0;
    let mut left = None;
    while left != Some(0)
        && let Some(rest) = raw.get(end..)
        && let Some(feed) = find_byte(b'\n', rest)
    {
        end += feed + 1;
        left = match left {
            Some(left) => Some(left - 1),
            None if trim_line_end(rest.get(..=feed).unwrap_or_default()).is_empty() => Some(lines),
            None => None,
        };
    }
    if left == Some(0) {
        raw.slice(..end)
    } else {
        raw.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_the_wire(raw: &'static [u8]) -> Vec<u8> {
        let raw = Bytes::from_static(raw);
        let mut sent = split_at_dots(&raw).join(&b'.');
        sent.extend_from_slice(ending(&raw));
        sent
    }

    #[test]
    fn dots_are_doubled_at_the_start_of_a_line_only() {
        assert_eq!(on_the_wire(b""), b".\r\n");
        assert_eq!(on_the_wire(b"."), b"..\r\n.\r\n");
        assert_eq!(on_the_wire(b"a.b\r\n"), b"a.b\r\n.\r\n");
        assert_eq!(
            on_the_wire(b".a\r\n..\r\n.\r\n"),
            b"..a\r\n...\r\n..\r\n.\r\n"
        );
        assert_eq!(on_the_wire(b"x\r\r\n.y"), b"x\r\r\n..y\r\n.\r\n");
    }

    #[test]
    fn bare_line_ends_begin_no_line_and_end_no_mail() {
        assert_eq!(on_the_wire(b"a\n.\nb\n"), b"a\n.\nb\n\r\n.\r\n");
        assert_eq!(on_the_wire(b"a\r.\rb\r"), b"a\r.\rb\r\r\n.\r\n");
        assert_eq!(on_the_wire(b"a\n.\r\nb"), b"a\n.\r\nb\r\n.\r\n");
    }

    #[test]
    fn the_top_is_the_header_and_as_many_lines_as_asked_for() {
        let raw = Bytes::from_static(b"A: 1\r\n\r\none\r\ntwo\r\n");

        assert_eq!(top(&raw, 0), &b"A: 1\r\n\r\n"[..]);
        assert_eq!(top(&raw, 1), &b"A: 1\r\n\r\none\r\n"[..]);
        assert_eq!(top(&raw, 9), raw);
        assert_eq!(top(&Bytes::from_static(b"A: 1"), 0), &b"A: 1"[..]);
    }
}
