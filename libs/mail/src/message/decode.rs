use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::decoders::charsets::map::charset_decoder;

/// How a part's bytes are written (RFC 2045 §6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    #[default]
    Plain,
    Base64,
    QuotedPrintable,
}

impl TransferEncoding {
    pub(super) fn named(name: &str) -> Self {
        if name.trim().eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.trim().eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Plain
        }
    }

    /// Decodes up to `limit` octets; what does not fit the encoding is skipped or taken as it is.
    pub(super) fn decode(self, body: &[u8], limit: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len().min(limit));
        match self {
            Self::Plain => out.extend_from_slice(body.get(..limit).unwrap_or(body)),
            Self::Base64 => decode_base64(body, |byte| {
                out.push(byte);
                out.len() < limit
            }),
            Self::QuotedPrintable => decode_quoted_printable(body, |byte| {
                out.push(byte);
                out.len() < limit
            }),
        }
        out
    }

    /// Returns the decoded size without holding what is decoded.
    pub(super) fn decoded_len(self, body: &[u8]) -> u64 {
        let mut count = 0_u64;
        let mut tally = |_: u8| {
            count += 1;
            true
        };
        match self {
            Self::Plain => return body.len() as u64,
            Self::Base64 => decode_base64(body, &mut tally),
            Self::QuotedPrintable => decode_quoted_printable(body, &mut tally),
        }
        count
    }
}

pub(super) const fn base64_value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(value as u32)
}

/// Skips every character outside the alphabet; padding ends a group, so that joined pieces decode too.
fn decode_base64(body: &[u8], mut push: impl FnMut(u8) -> bool) {
    let mut bits = 0_u32;
    let mut count = 0_u32;
    for &byte in body {
        let Some(value) = base64_value(byte) else {
            if byte == b'=' {
                count = 0;
            }
            continue;
        };
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., decoded] = (bits >> count).to_be_bytes();
            if !push(decoded) {
                return;
            }
        }
    }
}

fn decode_quoted_printable(body: &[u8], mut push: impl FnMut(u8) -> bool) {
    let mut rest = body;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let decoded = if byte == b'=' {
            if let Some(after) = soft_break(tail) {
                rest = after;
                continue;
            }
            match tail {
                [high, low, after @ ..] => match hex_value(*high).zip(hex_value(*low)) {
                    Some((high, low)) => {
                        rest = after;
                        high << 4 | low
                    }
                    None => byte,
                },
                _ => byte,
            }
        } else {
            byte
        };
        if !push(decoded) {
            return;
        }
    }
}

/// Returns what follows a line end after `=`, which may have lost white space on its way.
fn soft_break(tail: &[u8]) -> Option<&[u8]> {
    let blank = tail
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count();
    match tail.get(blank..) {
        Some([b'\n', after @ ..]) => Some(after),
        Some([]) => Some(&[]),
        _ => None,
    }
}

pub(super) const fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Turns bytes into text; what the named character set cannot explain is read as UTF-8, then as Windows-1252.
pub(super) fn text(bytes: &[u8], charset: Option<&str>) -> String {
    let charset = charset
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("us-ascii"));
    if let Some(decoder) = charset.and_then(|name| charset_decoder(name.as_bytes()))
        && let Ok(text) = catch_unwind(AssertUnwindSafe(|| decoder(bytes)))
    {
        return clean(text);
    }
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Cut within a character; only one that is not ASCII before it tells UTF-8 from Latin.
        Err(error) => {
            error.error_len().is_none()
                && !bytes
                    .get(..error.valid_up_to())
                    .is_none_or(<[u8]>::is_ascii)
        }
    };
    match charset_decoder(b"windows-1252") {
        Some(decoder) if !is_utf8 => clean(decoder(bytes)),
        _ => clean(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// Drops NUL, which neither Postgres nor many readers of JSON can hold, and other invisible control characters.
pub(super) fn clean(mut text: String) -> String {
    let is_invisible =
        |character: char| character.is_ascii_control() && !matches!(character, '\t' | '\r' | '\n');
    if text.contains(is_invisible) {
        text.retain(|character| !is_invisible(character));
    }
    text
}

/// Also drops line ends, which damaged or hostile fields can carry into values of one line.
pub(super) fn clean_line(text: String) -> String {
    let mut line = clean(text);
    line.retain(|character| !matches!(character, '\r' | '\n'));
    line
}

/// Cuts text to `limit` octets between characters and says whether it did.
pub(super) fn cut(text: &mut String, limit: usize) -> bool {
    let is_longer = text.len() > limit;
    text.truncate(text.floor_char_boundary(limit));
    is_longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_encodings_are_read_as_far_as_they_go() {
        for (encoding, body, expected) in [
            (
                TransferEncoding::Base64,
                &b"SGVs\r\nbG8="[..],
                &b"Hello"[..],
            ),
            (TransferEncoding::Base64, b"SGVs!bG8=SGk=", b"HelloHi"),
            (TransferEncoding::Base64, b"SGVsbG", b"Hell"),
            (
                TransferEncoding::QuotedPrintable,
                b"a=3D=\r\nb=  \r\n=ZZ=4",
                b"a=b=ZZ=4",
            ),
            (TransferEncoding::QuotedPrintable, b"=C3=A4=", b"\xc3\xa4"),
            (TransferEncoding::Plain, b"a=3D", b"a=3D"),
        ] {
            assert_eq!(encoding.decode(body, 1000), expected);
            assert_eq!(encoding.decoded_len(body), expected.len() as u64);
            assert_eq!(encoding.decode(body, 2).len(), 2);
        }
    }

    #[test]
    fn character_sets_are_read_with_fallbacks() {
        assert_eq!(text(b"\xe4", Some("ISO-8859-1")), "ä");
        assert_eq!(text("ä\0b".as_bytes(), Some("no-such-set")), "äb");
        assert_eq!(text(b"\xe4", None), "ä");
        assert_eq!(text(b"\x93\xfa\x96\x7b", Some("shift_jis")), "日本");
        assert_eq!(text(b"\x1b$B", Some("iso-2022-jp")), "");
    }
}
