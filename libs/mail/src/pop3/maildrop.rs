use super::limit::Pop3Limits;

/// Maximum bytes of a unique id that is kept. RFC 1939 §7 allows 70, and servers give more.
const LONGEST_UIDL: usize = 255;

/// A mail as the session numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaildropEntry {
    pub(super) number: u32,
    /// What LIST says, if that is a number at all.
    pub(super) bytes: Option<u64>,
    uidl: Option<Span>,
}

/// A piece of the text that holds all unique ids; one string each would take twice the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    length: u8,
}

/// What a maildrop cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow {
    pub(super) what: &'static str,
    pub(super) limit: usize,
}

/// The mails of the maildrop, ascending by number. They stay the same for as long as the session lasts.
#[derive(Debug, Default)]
pub(super) struct Maildrop {
    entries: Vec<MaildropEntry>,
    /// Those that UIDL left out.
    unnamed: Vec<MaildropEntry>,
    uidls: String,
    /// Indexes of the entries that have a unique id, ordered by it.
    by_uidl: Vec<u32>,
}

impl Maildrop {
    pub(super) fn entries(&self) -> &[MaildropEntry] {
        &self.entries
    }

    pub(super) fn uidl(&self, entry: &MaildropEntry) -> Option<&str> {
        let span = entry.uidl?;
        let end = span.start + usize::from(span.length);
        self.uidls.get(span.start..end)
    }

    /// Returns the index of the mail with this id; `None` also if two have it, as either could be meant.
    pub(super) fn find(&self, uidl: &str) -> Option<usize> {
        let from = self
            .by_uidl
            .partition_point(|index| self.uidl_at(*index) < Some(uidl));
        let at = |place: usize| self.by_uidl.get(place).copied();
        let found = at(from).filter(|index| self.uidl_at(*index) == Some(uidl))?;
        let is_doubled = at(from + 1).is_some_and(|index| self.uidl_at(index) == Some(uidl));
        (!is_doubled).then(|| usize::try_from(found).ok())?
    }

    /// Reads a line of UIDL. A mail whose id cannot be kept is identified by its content alone.
    pub(super) fn add_uidl(&mut self, line: &[u8], limits: &Pop3Limits) -> Result<(), Overflow> {
        let Some((number, rest)) = split_number(line) else {
            return Ok(());
        };
        // RFC 1939 §7 allows `!` to `~`. What servers give beyond that tells mails apart as well, and is compared as it is.
        let uidl = std::str::from_utf8(rest)
            .ok()
            .filter(|text| (1..=LONGEST_UIDL).contains(&text.len()))
            .filter(|text| !text.chars().any(char::is_control));
        let span = uidl.and_then(|text| {
            Some(Span {
                start: self.uidls.len(),
                length: u8::try_from(text.len()).ok()?,
            })
        });
        self.uidls.push_str(uidl.unwrap_or_default());
        if self.uidls.len() > limits.uidl_bytes {
            return Err(Overflow {
                what: "bytes of unique ids",
                limit: limits.uidl_bytes,
            });
        }
        self.entries.push(MaildropEntry {
            number,
            bytes: None,
            uidl: span,
        });
        Ok(())
    }

    /// Takes in a line of LIST where there are unique ids. Call [`Self::order`] afterwards.
    ///
    /// A mail without one is identified by its content alone: some servers name a part of a large maildrop only. Beyond what
    /// STAT `claimed` it arrived since, though RFC 1939 §3 has a session show what was there at its start, and is left for the
    /// next session.
    pub(super) fn add_size(
        &mut self,
        line: &[u8],
        claimed: Option<u32>,
        limits: &Pop3Limits,
    ) -> Result<(), Overflow> {
        let Some((number, rest)) = split_number(line) else {
            return Ok(());
        };
        let bytes = size(rest);
        let at = self
            .entries
            .binary_search_by_key(&number, |entry| entry.number);
        if let Some(entry) = at.ok().and_then(|at| self.entries.get_mut(at)) {
            entry.bytes = bytes;
            return Ok(());
        }
        if claimed.is_none_or(|claimed| number > claimed) {
            return Ok(());
        }
        if self.entries.len() + self.unnamed.len() >= limits.mails {
            return Err(Overflow {
                what: "mails",
                limit: limits.mails,
            });
        }
        self.unnamed.push(MaildropEntry {
            number,
            bytes,
            uidl: None,
        });
        Ok(())
    }

    /// Takes in a line of LIST where there are no unique ids.
    pub(super) fn add_nameless(&mut self, line: &[u8]) {
        if let Some((number, rest)) = split_number(line) {
            self.entries.push(MaildropEntry {
                number,
                bytes: size(rest),
                uidl: None,
            });
        }
    }

    /// Orders the mails by number, each once.
    pub(super) fn order(&mut self) {
        self.entries.append(&mut self.unnamed);
        self.entries.sort_by_key(|entry| entry.number);
        self.entries.dedup_by_key(|entry| entry.number);
    }

    /// Prepares [`Self::find`].
    pub(super) fn index(&mut self) {
        let mut indexes: Vec<u32> = (0..).take(self.entries.len()).collect();
        indexes.retain(|index| self.uidl_at(*index).is_some());
        indexes.sort_by(|one, other| self.uidl_at(*one).cmp(&self.uidl_at(*other)));
        self.by_uidl = indexes;
    }

    fn uidl_at(&self, index: u32) -> Option<&str> {
        let entry = self.entries.get(usize::try_from(index).ok()?)?;
        self.uidl(entry)
    }
}

fn split_number(line: &[u8]) -> Option<(u32, &[u8])> {
    let line = line.trim_ascii();
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let (number, rest) = line.split_at_checked(end)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest.trim_ascii()))
}

/// Sizes are estimates at many servers, and negative at some.
fn size(rest: &[u8]) -> Option<u64> {
    let word = rest.split(u8::is_ascii_whitespace).next()?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop(uidls: &[&[u8]], sizes: &[&str]) -> Maildrop {
        let mut maildrop = Maildrop::default();
        for line in uidls {
            maildrop.add_uidl(line, &Pop3Limits::default()).unwrap();
        }
        maildrop.order();
        for line in sizes {
            let limits = Pop3Limits::default();
            maildrop
                .add_size(line.as_bytes(), Some(8), &limits)
                .unwrap();
        }
        maildrop.order();
        maildrop.index();
        maildrop
    }

    fn shown(maildrop: &Maildrop) -> Vec<(u32, Option<&str>, Option<u64>)> {
        let entries = maildrop.entries().iter();
        entries
            .map(|entry| (entry.number, maildrop.uidl(entry), entry.bytes))
            .collect()
    }

    #[test]
    fn mails_are_listed_by_number_with_what_is_known_of_them() {
        let long = format!("4 {}", "x".repeat(255));
        let too_long = format!("5 {}", "x".repeat(256));
        let maildrop = maildrop(
            &[
                b"2 b/\"<>~",
                b"1 a b",
                b"3",
                long.as_bytes(),
                too_long.as_bytes(),
                b"6 \xff",
                b"7 \x01",
                b"2 again",
                b"x y",
                b"",
                b"-1 z",
            ],
            &["1 120", "2 -5", "3 abc", "4 7 extra", "8 8", "9 9"],
        );

        let long = "x".repeat(255);
        assert_eq!(
            shown(&maildrop),
            [
                (1, Some("a b"), Some(120)),
                (2, Some("b/\"<>~"), None),
                (3, None, None),
                (4, Some(long.as_str()), Some(7)),
                (5, None, None),
                (6, None, None),
                (7, None, None),
                (8, None, Some(8)),
            ]
        );
    }

    #[test]
    fn an_id_finds_its_mail_unless_two_have_it() {
        let maildrop = maildrop(&[b"1 b", b"2 same", b"3 a", b"4 same", b"5 c", b"6"], &[]);

        assert_eq!(maildrop.find("a"), Some(2));
        assert_eq!(maildrop.find("b"), Some(0));
        assert_eq!(maildrop.find("c"), Some(4));
        assert_eq!(maildrop.find("same"), None);
        assert_eq!(maildrop.find("other"), None);
        assert_eq!(maildrop.find(""), None);
    }
}
