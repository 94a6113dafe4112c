//! A head's fields (RFC 5322 §2.2), before anything is made of their values.

use std::borrow::Cow;

/// A header field as it stands in the mail.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderField<'a> {
    pub(super) name: &'a [u8],
    /// What follows the colon, with its folds.
    pub(super) value: &'a [u8],
}

impl HeaderField<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Undoes the folding: of the white space around a line end, one space stays.
    pub(super) fn unfolded(&self) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::with_capacity(self.value.len());
        for (index, line) in self.value.split(|octet| *octet == b'\n').enumerate() {
            if index == 0 {
                out.extend_from_slice(line.trim_ascii_end());
            } else if !line.trim_ascii().is_empty() {
                out.push(b' ');
                out.extend_from_slice(line.trim_ascii());
            }
        }
        out.retain(|octet| *octet != b'\r');
        out
    }
}

/// Finds the fields of a head, and passes over lines that are none, such as the `From ` of mbox files.
pub(super) fn fields(head: &[u8]) -> impl Iterator<Item = HeaderField<'_>> {
    let mut rest = head;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (line, after) = rest.split_at(logical_line(rest));
            rest = after;
            if let Some(field) = read(line) {
                return Some(field);
            }
        }
        None
    })
}

/// Returns the length of a line with those that are folded to it.
fn logical_line(octets: &[u8]) -> usize {
    let mut end = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        if end > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            break;
        }
        end += line.len();
    }
    end
}

fn read(line: &[u8]) -> Option<HeaderField<'_>> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    // RFC 5322 §4.5: older writers left a space before the colon.
    let name = name.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some(HeaderField {
        name,
        value: value.get(1..).unwrap_or_default(),
    })
}

/// Splits after the first empty line; without one everything is head. Where not one field comes first, everything is
/// body: some writers leave out the empty line of a part without fields.
pub(super) fn split_head(entity: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in entity.split_inclusive(|octet| *octet == b'\n') {
        if is_empty(line) {
            let (head, body) = entity.split_at_checked(at).unwrap_or((entity, &[]));
            return split_at_field(head, body.get(line.len()..).unwrap_or_default(), entity);
        }
        at += line.len();
    }
    split_at_field(entity, &[], entity)
}

fn split_at_field<'a>(head: &'a [u8], body: &'a [u8], entity: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if head.is_empty() || fields(head).next().is_some() {
        (head, body)
    } else {
        (&[], entity)
    }
}

/// Returns whether a line has nothing but its end, which some relays double to CR CR LF.
fn is_empty(line: &[u8]) -> bool {
    line.iter().all(|octet| matches!(octet, b'\r' | b'\n'))
}

/// Ends lines that have nothing but a CR, as on old Macintoshes, with a LF. Servers on the way put fields with the usual line
/// ends before them and one at the end; but the header of such a mail ends nowhere, and an empty line stands within it.
pub(super) fn with_line_feeds(mail: &[u8]) -> Cow<'_, [u8]> {
    let is_ended = || mail.split_inclusive(|octet| *octet == b'\n').any(is_empty);
    let has_hidden_end = || mail.windows(2).any(|pair| pair == b"\r\r");
    let is_other = if mail.contains(&b'\n') {
        !is_ended() && has_hidden_end()
    } else {
        mail.contains(&b'\r')
    };
    if !is_other {
        return Cow::Borrowed(mail);
    }
    let ended = mail.iter().zip(mail.iter().skip(1).chain(Some(&0)));
    let ended = ended.filter_map(|(octet, next)| match (octet, next) {
        (b'\r', b'\n') => None,
        (b'\r', _) => Some(b'\n'),
        (other, _) => Some(*other),
    });
    Cow::Owned(ended.collect())
}

/// Leaves out a byte order mark and blank lines before a mail's header, as some programs that file mails put there. What follows must be a
/// mail's header beyond doubt, or it is the body of a mail without one.
pub(super) fn without_leading_lines(mail: &[u8]) -> &[u8] {
    let mut rest = mail.strip_prefix(b"\xef\xbb\xbf").unwrap_or(mail);
    let lines = rest.split_inclusive(|octet| *octet == b'\n');
    let blank = lines.take_while(|line| line.trim_ascii().is_empty());
    rest = rest.get(blank.map(<[u8]>::len).sum()..).unwrap_or_default();
    let (head, _) = split_head(rest);
    let is_header = rest.len() < mail.len()
        && fields(head).any(|field| {
            let names = ["From", "Date", "Received", "Message-ID", "Return-Path"];
            names.iter().any(|name| field.is(name))
        });
    if is_header { rest } else { mail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_ends_at_the_first_empty_line() {
        for (entity, head, body) in [
            ("A: 1\r\n\r\nx\r\n\r\ny", "A: 1\r\n", "x\r\n\r\ny"),
            ("A: 1\n\nx", "A: 1\n", "x"),
            ("A: 1\r\r\n\r\r\nx", "A: 1\r\r\n", "x"),
            ("A: 1\r\n \r\n\r\nx", "A: 1\r\n \r\n", "x"),
            ("A: 1", "A: 1", ""),
            ("\r\nA: x", "", "A: x"),
            ("just text\r\n\r\nmore", "", "just text\r\n\r\nmore"),
        ] {
            assert_eq!(
                split_head(entity.as_bytes()),
                (head.as_bytes(), body.as_bytes()),
                "{entity}"
            );
        }
    }

    #[test]
    fn lines_that_a_cr_ends_are_lines() {
        for (mail, expected) in [
            ("A: 1\rB: 2\r\rx\ry", Some("A: 1\nB: 2\n\nx\ny")),
            (
                "R: x\r\nA: 1\rB: 2\r\rx\r\n",
                Some("R: x\nA: 1\nB: 2\n\nx\n"),
            ),
            ("A: 1\r\n\r\nx\r\ry", None),
            ("A: 1\r\nB: 2\rC\r\n", None),
            ("A: 1\r\r\n\r\r\nx", None),
        ] {
            let read = with_line_feeds(mail.as_bytes());
            assert_eq!(
                read.as_ref(),
                expected.unwrap_or(mail).as_bytes(),
                "{mail:?}"
            );
        }
    }

    #[test]
    fn blank_lines_before_a_header_are_left_out() {
        for (mail, expected) in [
            ("\r\n \r\nFrom: a@b.c\r\n\r\nx", "From: a@b.c\r\n\r\nx"),
            ("     \r\nReceived: x\r\n\r\nx", "Received: x\r\n\r\nx"),
            ("\u{feff}From: a@b.c\r\n\r\nx", "From: a@b.c\r\n\r\nx"),
            ("\r\nNote: this is text", "\r\nNote: this is text"),
            ("A: 1\r\n\r\nFrom: x", "A: 1\r\n\r\nFrom: x"),
        ] {
            assert_eq!(without_leading_lines(mail.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn fields_are_found_among_lines_that_are_none() {
        let head = b"\tfolded to nothing\r\nFrom a@b.c Mon Nov 30 10:00:00 2026\r\n (more: of it)\r\nA: 1\r\n  2 \r\n\t3\n\
            no field\r\nB : x\r\n:none\r\nC:";

        let found: Vec<_> = fields(head).collect();

        let shown = found.iter().map(|field| {
            let value = String::from_utf8(field.unfolded()).unwrap();
            (std::str::from_utf8(field.name).unwrap(), value)
        });
        let expected = [("A", " 1 2 3"), ("B", " x"), ("C", "")];
        assert!(shown.eq(expected.map(|(name, value)| (name, value.to_owned()))));
    }
}
