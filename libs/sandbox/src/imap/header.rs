use bytes::{Bytes, BytesMut};

use crate::server::bytes::{find_byte, trim_line_end};

/// Returns how long the header is, with the empty line that ends it.
pub(super) fn header_length(raw: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = raw.get(at..)
        && let Some(end) = find_byte(b'\n', rest)
    {
        at += end + 1;
        if trim_line_end(rest.get(..=end).unwrap_or_default()).is_empty() {
            return at;
        }
    }
    raw.len()
}

/// One header field: its name, and all its lines as they are.
pub(super) struct HeaderField<'a> {
    pub(super) name: &'a [u8],
    lines: &'a [u8],
}

impl HeaderField<'_> {
    /// Returns the value on one line.
    pub(super) fn value(&self) -> String {
        let value = self.lines.get(self.name.len() + 1..).unwrap_or_default();
        let value = String::from_utf8_lossy(value);
        value.replace(['\r', '\n'], "").trim().to_owned()
    }
}

/// Walks over the fields of a header.
pub(super) struct HeaderFields<'a> {
    rest: &'a [u8],
}

impl<'a> HeaderFields<'a> {
    pub(super) fn of(raw: &'a [u8]) -> Self {
        Self {
            rest: raw.get(..header_length(raw)).unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for HeaderFields<'a> {
    type Item = HeaderField<'a>;

    fn next(&mut self) -> Option<HeaderField<'a>> {
        loop {
            let lines = take_field(&mut self.rest)?;
            if let Some(colon) = find_byte(b':', lines) {
                let name = lines.get(..colon)?;
                return Some(HeaderField { name, lines });
            }
        }
    }
}

/// Takes a line and the folded ones after it.
fn take_field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let mut length = 0;
    loop {
        let tail = rest.get(length..).unwrap_or_default();
        length += find_byte(b'\n', tail).map_or(tail.len(), |end| end + 1);
        if !matches!(rest.get(length), Some(b' ' | b'\t')) {
            break;
        }
    }
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

/// Returns the value of the first field of that name.
pub(super) fn find_value(raw: &[u8], name: &str) -> Option<String> {
    HeaderFields::of(raw)
        .find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
        .map(|field| field.value())
}

/// Returns only the named fields, or only the others, and an empty line.
pub(super) fn filter_fields(raw: &[u8], names: &[String], keeps_named: bool) -> Bytes {
    let mut kept = BytesMut::new();
    for field in HeaderFields::of(raw) {
        let is_named = names
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()));
        if is_named == keeps_named {
            kept.extend_from_slice(field.lines);
        }
    }
    kept.extend_from_slice(b"\r\n");
    kept.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = b"From: a@b.c\r\nSubject: one\r\n two\r\nTo: d@e.f\r\n\r\nSubject: body\r\n";

    #[test]
    fn folded_fields_stay_whole() {
        let kept = filter_fields(RAW, &["SUBJECT".to_owned()], true);
        let others = filter_fields(RAW, &["SUBJECT".to_owned()], false);

        assert_eq!(&kept[..], b"Subject: one\r\n two\r\n\r\n");
        assert_eq!(&others[..], b"From: a@b.c\r\nTo: d@e.f\r\n\r\n");
        assert_eq!(find_value(RAW, "subject").as_deref(), Some("one two"));
    }

    #[test]
    fn a_mail_without_a_body_is_all_header() {
        assert_eq!(header_length(b"From: a@b.c\r\n"), 13);
        assert_eq!(header_length(RAW), RAW.len() - 15);
        assert_eq!(header_length(b""), 0);
    }
}
