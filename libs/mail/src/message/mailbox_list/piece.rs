use super::super::address::AddressProblem;

/// A piece of an address list, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// A quoted string with its quotes.
    Quoted(&'a str),
    /// A comment with its parentheses.
    Comment(&'a str),
    /// What stands between angle brackets.
    Angle(&'a str),
    /// One of `,`, `;` and `:`.
    Separator(char),
}

impl Piece<'_> {
    pub(super) fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }
}

/// Cuts text into pieces, in one pass.
pub(super) fn cut(text: &str) -> Result<Vec<Piece<'_>>, AddressProblem> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => quoted_length(rest),
            '(' => comment_length(rest),
            '<' => angle_length(rest),
            ',' | ';' | ':' => Some(1),
            _ => text_length(rest),
        };
        let length = length.ok_or(AddressProblem::Malformed)?;
        let (piece, tail) = rest.split_at(length);
        pieces.push(match first {
            '"' => Piece::Quoted(piece),
            '(' => Piece::Comment(piece),
            '<' => Piece::Angle(piece.get(1..length - 1).unwrap_or_default()),
            ',' | ';' | ':' => Piece::Separator(first),
            _ => Piece::Text(piece),
        });
        rest = tail;
    }
    Ok(pieces)
}

/// Returns the length of a quoted string at the start of the text; none when it has no end.
fn quoted_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Comments nest (RFC 5322 §3.2.2).
fn comment_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at + 1),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A quoted local part may hold an angle bracket.
fn angle_length(text: &str) -> Option<usize> {
    let mut from = 1;
    loop {
        let rest = text.get(from..)?;
        let at = rest.find(['"', '>'])?;
        let (_, found) = rest.split_at(at);
        if found.starts_with('>') {
            return Some(from + at + 1);
        }
        from += at + quoted_length(found)?;
    }
}

/// A colon within a domain literal (`a@[IPv6:2001:db8::1]`) separates nothing.
fn text_length(text: &str) -> Option<usize> {
    let mut before = ' ';
    let mut in_literal = false;
    for (at, character) in text.char_indices() {
        match character {
            ']' => in_literal = false,
            _ if in_literal => {}
            '[' if before == '@' => in_literal = true,
            ',' | ';' | ':' | '"' | '(' | '<' => return Some(at),
            _ => {}
        }
        before = character;
    }
    (!in_literal).then_some(text.len())
}
