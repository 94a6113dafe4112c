use std::fmt::{Arguments, Write as _};
use std::io::BufRead as _;

use bytes::BytesMut;

/// Returns where `wanted` first stands in `bytes`.
pub(crate) fn find_byte(wanted: u8, bytes: &[u8]) -> Option<usize> {
    // The standard library's word-at-a-time search is reachable only through `BufRead`; on a slice it cannot fail.
    let mut rest = bytes;
    let passed = rest.skip_until(wanted).unwrap_or_default();
    let last = passed.checked_sub(1)?;
    (bytes.get(last) == Some(&wanted)).then_some(last)
}

/// Returns whether `text` holds `wanted`, letters of either case being the same.
pub(crate) fn contains_ignoring_case(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty()
        || text
            .windows(wanted.len())
            .any(|window| window.eq_ignore_ascii_case(wanted))
}

/// Adds formatted text to a buffer.
pub(crate) fn put(buffer: &mut BytesMut, text: Arguments<'_>) {
    // A growing buffer takes everything.
    buffer.write_fmt(text).ok();
}

/// Returns the line without its CRLF or LF.
pub(crate) fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_where_it_first_stands() {
        assert_eq!(find_byte(b'.', b"a.b."), Some(1));
        assert_eq!(find_byte(b'.', b"."), Some(0));
        assert_eq!(find_byte(b'.', b"abc"), None);
        assert_eq!(find_byte(b'.', b""), None);
    }

    #[test]
    fn line_ends_are_trimmed_once() {
        assert_eq!(trim_line_end(b"NOOP\r\n"), b"NOOP");
        assert_eq!(trim_line_end(b"NOOP\n"), b"NOOP");
        assert_eq!(trim_line_end(b"\r\r\n"), b"\r");
    }
}
