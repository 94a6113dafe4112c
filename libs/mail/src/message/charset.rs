//! Octets of mail as text, whatever their character set is called and however damaged they are.

mod label;
mod shifted;
mod unicode;

use std::borrow::Cow;

use encoding_rs::{EUC_KR, Encoding, GBK, ISO_2022_JP, WINDOWS_874, WINDOWS_1252};

pub(super) use self::label::Charset;
use super::clean::clean;

/// Turns octets into text without control characters. A damaged character costs itself alone.
///
/// `label` is the sender's name of the character set. Without one, or with an unknown one, the octets are taken as
/// UTF-8 if most of them are, else as Windows-1252.
pub(super) fn text(octets: &[u8], label: Option<&str>) -> String {
    // A byte order mark is more reliable than any label.
    let marked = unicode::by_mark(octets);
    clean(marked.unwrap_or_else(|| decode(octets, label.and_then(Charset::named))))
}

/// Turns lines that are not UTF-8 into it where the set fits them that the mail names for its text: header fields that
/// nobody has encoded are mostly in that.
pub(super) fn lines_in_utf8<'a>(octets: &'a [u8], label: &str) -> Cow<'a, [u8]> {
    let Some(Charset::Known(encoding)) = Charset::named(label).filter(|_| !octets.is_ascii())
    else {
        return Cow::Borrowed(octets);
    };
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let (text, is_damaged) = encoding.decode_without_bom_handling(line);
        if is_damaged || std::str::from_utf8(line).is_ok() {
            out.extend_from_slice(line);
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    Cow::Owned(out)
}

fn decode(octets: &[u8], charset: Option<Charset>) -> String {
    match charset {
        Some(Charset::Utf8) => {
            if let Ok(text) = std::str::from_utf8(octets) {
                return text.to_owned();
            }
            let found = Utf8Check::of(octets);
            // Declared UTF-8 that holds none is another set under a wrong label.
            if found.characters == 0 && found.damages > 0 {
                in_encoding(WINDOWS_1252, octets)
            } else {
                String::from_utf8_lossy(octets).into_owned()
            }
        }
        Some(Charset::Known(encoding)) => in_known(encoding, octets),
        Some(Charset::Dos(page)) if !is_utf8(octets) => page.decode(octets),
        Some(Charset::Iso2022Kr) => in_encoding(EUC_KR, &shifted::iso_2022(octets)),
        Some(Charset::Iso2022Cn) => in_encoding(GBK, &shifted::iso_2022(octets)),
        Some(Charset::Hz) => in_encoding(GBK, &shifted::hz(octets)),
        Some(Charset::Utf7) if octets.is_ascii() => unicode::utf_7(octets),
        Some(Charset::Utf16(order)) if is_wide(octets) => unicode::utf_16(octets, order),
        Some(Charset::Utf32(order)) if is_wide(octets) => unicode::utf_32(octets, order),
        // Nothing is said, or what is said does not fit: some writers change the set and leave the label.
        _ => guess(octets),
    }
}

/// Returns whether octets can be characters of two or four octets each. Without zeros, ASCII and UTF-8 are what they are:
/// Word labels its UTF-8 `unicode`, and the HTML Standard reads a `<meta>` of UTF-16 as UTF-8.
fn is_wide(octets: &[u8]) -> bool {
    octets.contains(&0) || std::str::from_utf8(octets).is_err()
}

fn in_known(encoding: &'static Encoding, octets: &[u8]) -> String {
    if encoding == ISO_2022_JP {
        // Writers that convert to UTF-8 without changing the label leave no escape sequence.
        return if octets.contains(&0x1b) {
            in_encoding(ISO_2022_JP, &shifted::without_empty_escapes(octets))
        } else {
            guess(octets)
        };
    }
    // UTF-8 under the label of a set of 256 characters is common, and text in such a set that happens to be UTF-8
    // is not; in Thai alone every letter could be part of both.
    if encoding.is_single_byte() && encoding != WINDOWS_874 && is_utf8(octets) {
        return guess(octets);
    }
    let (text, is_damaged) = encoding.decode_without_bom_handling(octets);
    if is_damaged && is_utf8(octets) {
        return guess(octets);
    }
    text.into_owned()
}

fn in_encoding(encoding: &'static Encoding, octets: &[u8]) -> String {
    encoding.decode_without_bom_handling(octets).0.into_owned()
}

/// Reads octets of which nobody says what they are.
fn guess(octets: &[u8]) -> String {
    // Most text of most mail is ASCII: it is searched for the escape alone before anything else.
    if octets.is_ascii() && octets.contains(&0x1b) {
        // Japanese mail was sent so before MIME, and header fields still are.
        let is_japanese = octets
            .windows(3)
            .any(|three| matches!(three, [0x1b, b'$', b'B' | b'@']));
        if is_japanese {
            return in_encoding(ISO_2022_JP, &shifted::without_empty_escapes(octets));
        }
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        return text.to_owned();
    }
    let found = Utf8Check::of(octets);
    if found.characters >= found.damages {
        String::from_utf8_lossy(octets).into_owned()
    } else {
        in_encoding(WINDOWS_1252, octets)
    }
}

/// Returns whether octets are UTF-8 with at least one character that is not ASCII.
fn is_utf8(octets: &[u8]) -> bool {
    if octets.is_ascii() {
        return false;
    }
    let found = Utf8Check::of(octets);
    found.characters > 0 && found.damages == 0
}

/// How far octets are UTF-8.
#[derive(Debug, Default)]
struct Utf8Check {
    /// Well-formed characters beyond ASCII.
    characters: usize,
    /// Octets, or runs of them, that are no character.
    damages: usize,
}

impl Utf8Check {
    fn of(octets: &[u8]) -> Self {
        let mut check = Self::default();
        let mut rest = octets;
        for chunk in octets.utf8_chunks() {
            let begins = chunk.valid().bytes().filter(|octet| *octet >= 0xc0);
            check.characters += begins.count();
            rest = rest
                .get(chunk.valid().len() + chunk.invalid().len()..)
                .unwrap_or_default();
            let is_cut_off = rest.is_empty()
                && check.characters > 0
                && std::str::from_utf8(chunk.invalid())
                    .is_err_and(|error| error.error_len().is_none());
            check.damages += usize::from(!chunk.invalid().is_empty() && !is_cut_off);
        }
        check
    }
}

#[cfg(test)]
mod tests;
