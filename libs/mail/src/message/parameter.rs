//! Values with parameters, such as `text/plain; charset=utf-8` (RFC 2045 §5.1, RFC 2231).

use super::charset::text;
use super::clean::clean_line;
use super::encoded_word::header_text;
use super::scanner::Scanner;
use super::transfer::hex_value;

/// Parameters, and pieces of them, that are read of one field.
const MAX_PARAMETERS: usize = 256;
/// What ends a value without quotes.
const VALUE_ENDS: &[u8] = b"; \t\r\n(";

/// A field's value, taken apart.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// What stands before the first parameter, without comments and white space.
    pub(super) value: Vec<u8>,
    pieces: Vec<ParameterSection>,
}

/// One `name=value`, or a part of a longer one: `name*0*=value`.
#[derive(Debug)]
struct ParameterSection {
    name: String,
    section: Option<u32>,
    /// Whether the value is percent-encoded.
    is_extended: bool,
    value: Vec<u8>,
}

/// A parameter's octets, and what is said of their character set.
#[derive(Debug, Default)]
struct ParameterOctets {
    octets: Vec<u8>,
    charset: Option<Vec<u8>>,
}

impl Parameters {
    /// Reads an unfolded value as far as it goes.
    pub(super) fn read(value: &[u8]) -> Self {
        let mut scanner = Scanner::new(value);
        let mut read = Self {
            value: leading(&mut scanner),
            pieces: Vec::new(),
        };
        while read.pieces.len() < MAX_PARAMETERS {
            scanner.skip_blank();
            if scanner.peek().is_none() {
                break;
            }
            let name = scanner.take_until(b"=; \t\r\n(");
            scanner.skip_blank();
            if scanner.peek() != Some(b'=') {
                // A word that is no parameter, or what separates two of them.
                if name.is_empty() {
                    scanner.take(1);
                }
                continue;
            }
            scanner.take(1);
            scanner.skip_blank();
            read.pieces.push(ParameterSection::new(name, &mut scanner));
        }
        read
    }

    /// Returns a parameter's octets; `name*=` counts before `name=`, which is there for older readers.
    pub(super) fn octets(&self, name: &str) -> Option<Vec<u8>> {
        self.join(name).map(|joined| joined.octets)
    }

    /// Returns a parameter as text of one line; `None` when it is blank. What nobody says the character set of, and is not
    /// UTF-8, is read in `set`.
    pub(super) fn text(&self, name: &str, set: Option<&str>) -> Option<String> {
        let joined = self.join(name)?;
        let text = match joined.charset {
            Some(charset) => {
                let charset = String::from_utf8_lossy(&charset).into_owned();
                clean_line(text(&joined.octets, Some(&charset)))
            }
            // Many writers put encoded words where RFC 2231 wants its own form.
            None if joined.octets.windows(2).any(|pair| pair == b"=?") => {
                header_text(&joined.octets)
            }
            None => {
                let set = set.filter(|_| std::str::from_utf8(&joined.octets).is_err());
                clean_line(text(&joined.octets, set))
            }
        };
        Some(text).filter(|text| !text.trim().is_empty())
    }

    fn join(&self, name: &str) -> Option<ParameterOctets> {
        let pieces = || self.pieces.iter().filter(|piece| piece.name == name);
        if let Some(whole) = pieces().find(|piece| piece.section.is_none() && piece.is_extended) {
            let joined = ParameterOctets::from_pieces(&[whole]);
            let is_alone = pieces().nth(1).is_none();
            if is_alone || !joined.octets.trim_ascii().is_empty() {
                return Some(joined);
            }
        }
        let mut parts: Vec<&ParameterSection> =
            pieces().filter(|piece| piece.section.is_some()).collect();
        if parts.is_empty() {
            let plain = pieces().find(|piece| !piece.is_extended)?;
            return Some(ParameterOctets::from_plain(&plain.value));
        }
        parts.sort_by_key(|piece| piece.section);
        parts.dedup_by_key(|piece| piece.section);
        Some(ParameterOctets::from_pieces(&parts))
    }
}

impl ParameterOctets {
    /// Joins octets before anything is decoded: writers part a value within a character.
    fn from_pieces(pieces: &[&ParameterSection]) -> Self {
        let mut joined = Self::default();
        for (index, piece) in pieces.iter().enumerate() {
            let mut value = piece.value.as_slice();
            if !piece.is_extended {
                joined.octets.extend_from_slice(value);
                continue;
            }
            if index == 0
                && let Some((charset, rest)) = split_charset(value)
            {
                joined.charset = Some(charset.to_vec());
                value = rest;
            }
            push_percent_decoded(&mut joined.octets, value);
        }
        joined
    }

    /// Some writers use the extended form and forget its asterisk.
    fn from_plain(value: &[u8]) -> Self {
        if let Some((charset, rest)) = split_charset(value)
            && rest.contains(&b'%')
            && charset.len() > 2
            && super::charset::Charset::named(&String::from_utf8_lossy(charset)).is_some()
        {
            let mut octets = Vec::with_capacity(rest.len());
            push_percent_decoded(&mut octets, rest);
            let charset = Some(charset.to_vec());
            return Self { octets, charset };
        }
        Self {
            octets: value.to_vec(),
            charset: None,
        }
    }
}

/// Splits `charset'language'value`.
fn split_charset(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = value.splitn(3, |octet| *octet == b'\'');
    let charset = parts.next()?;
    parts.next()?;
    Some((charset, parts.next()?))
}

fn push_percent_decoded(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        if *octet == b'%'
            && let [high, low, after @ ..] = tail
            && let Some((high, low)) = hex_value(*high).zip(hex_value(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*octet);
        }
    }
}

/// Takes what stands before the parameters. A blank ends it, as some writers forget the semicolon, but not one beside
/// a slash.
fn leading(scanner: &mut Scanner<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    loop {
        scanner.skip_blank();
        let goes_on = value.is_empty() || value.ends_with(b"/") || scanner.peek() == Some(b'/');
        if !goes_on || matches!(scanner.peek(), None | Some(b';')) {
            break;
        }
        if let Some(quoted) = scanner.quoted() {
            value.extend_from_slice(quoted);
            continue;
        }
        let word = scanner.clone().take_until(VALUE_ENDS);
        if value.is_empty() && word.contains(&b'=') {
            // The field begins with a parameter.
            break;
        }
        // One octet of a parenthesis that is never closed.
        value.extend_from_slice(scanner.take(word.len().max(1)));
    }
    while value.last() == Some(&b',') {
        value.pop();
    }
    value
}

impl ParameterSection {
    /// Takes the value, before which `scanner` stands.
    fn new(name: &[u8], scanner: &mut Scanner<'_>) -> Self {
        let mut name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let is_extended = name.ends_with('*');
        if is_extended {
            name.pop();
        }
        let mut section = None;
        if let Some((base, number)) = name.split_once('*')
            && let Ok(number) = number.parse()
        {
            section = Some(number);
            name = base.to_owned();
        }
        // Names of files hold spaces and parentheses, and many writers leave out their quotes.
        let is_name_of_file = matches!(name.as_str(), "filename" | "name");
        let value = if let Some(quoted) = scanner.quoted() {
            unescaped(quoted)
        } else if is_name_of_file {
            let value = scanner.take_until(b";").trim_ascii();
            value.strip_prefix(b"\"").unwrap_or(value).to_vec()
        } else {
            let value = scanner.take_until(VALUE_ENDS);
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let end = value
                .iter()
                .rposition(|octet| !matches!(octet, b'"' | b','));
            value
                .get(..end.map_or(0, |end| end + 1))
                .unwrap_or_default()
                .to_vec()
        };
        Self {
            name,
            section,
            is_extended,
            value,
        }
    }
}

/// Undoes the escapes of quotes and backslashes alone: Windows' paths are not escaped.
fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        match (octet, tail) {
            (b'\\', [escaped @ (b'"' | b'\\'), after @ ..]) => {
                out.push(*escaped);
                rest = after;
            }
            _ => out.push(*octet),
        }
    }
    out
}

#[cfg(test)]
mod tests;
