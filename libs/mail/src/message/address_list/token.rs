use super::super::charset::text;
use super::super::clean::clean_line;
use super::super::encoded_word::{EncodedWord, header_text};
use super::super::scanner::Scanner;

/// What ends an atom. RFC 5322 has more, which writers use in names and addresses.
const ATOM_ENDS: &[u8] = b" \t\r\n\"(<>@,;:[";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Space,
    /// Letters, dots and the like, or an encoded word.
    Atom(&'a [u8]),
    /// What stands between the quotes, with its escapes.
    Quoted(&'a [u8]),
    Comment(&'a [u8]),
    /// `[192.0.2.1]`, with its brackets.
    Literal(&'a [u8]),
    At,
    Comma,
    Semicolon,
    Colon,
    Open,
    Close,
}

impl Token<'_> {
    /// Adds the token as it reads in a name.
    pub(super) fn push_plain(&self, out: &mut Vec<u8>) {
        match self {
            Token::Space if out.ends_with(b" ") => {}
            Token::Space => out.push(b' '),
            Token::Atom(octets) | Token::Literal(octets) => out.extend_from_slice(octets),
            Token::Quoted(octets) => {
                let mut is_escaped = false;
                for octet in *octets {
                    is_escaped = !is_escaped && *octet == b'\\';
                    if !is_escaped {
                        out.push(*octet);
                    }
                }
            }
            Token::At => out.push(b'@'),
            _ => {}
        }
    }

    /// Adds the token as it stands in an address.
    fn push_address(&self, out: &mut Vec<u8>) {
        match self {
            Token::Space => {}
            Token::Quoted(octets) => {
                out.push(b'"');
                out.extend_from_slice(octets);
                out.push(b'"');
            }
            other => other.push_plain(out),
        }
    }

    fn begins_with_dot(&self) -> bool {
        matches!(self, Token::Atom([b'.', ..]))
    }
}

pub(super) struct Tokens<'a> {
    scanner: Scanner<'a>,
    /// Read, and not part of what was read before it.
    put_back: Option<Token<'a>>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(value),
            put_back: None,
        }
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        if let Some(token) = self.put_back.take() {
            return Some(token);
        }
        let scanner = &mut self.scanner;
        let rest = scanner.rest();
        let single = match rest.first()? {
            b' ' | b'\t' | b'\r' | b'\n' => {
                scanner.take(rest.len() - rest.trim_ascii_start().len());
                return Some(Token::Space);
            }
            b'"' => {
                // A quote without an end is left out.
                return match scanner.quoted() {
                    Some(quoted) => Some(Token::Quoted(quoted)),
                    None => Some(Token::Atom(scanner.take(1).get(1..)?)),
                };
            }
            b'(' => {
                return Some(match scanner.comment() {
                    Some(comment) => Token::Comment(comment),
                    None => Token::Atom(scanner.take(1)),
                });
            }
            b'[' => return Some(literal(scanner)),
            b'@' => Token::At,
            b',' => Token::Comma,
            b';' => Token::Semicolon,
            b':' => Token::Colon,
            b'<' => Token::Open,
            b'>' => Token::Close,
            _ => {
                // Special characters within an encoded word are text: `=?utf-8?q?Doe,_J?=` is one name.
                return Some(Token::Atom(match EncodedWord::at_start(rest) {
                    Some(word) => scanner.take(word.length),
                    None => scanner.take_until(ATOM_ENDS),
                }));
            }
        };
        scanner.take(1);
        Some(single)
    }
}

fn literal<'a>(scanner: &mut Scanner<'a>) -> Token<'a> {
    const MAX_LITERAL: usize = 64;
    let end = scanner
        .rest()
        .iter()
        .take(MAX_LITERAL)
        .position(|octet| *octet == b']');
    match end {
        Some(end) => Token::Literal(scanner.take(end + 1)),
        None => Token::Atom(scanner.take(1)),
    }
}

/// Takes what stands in angle brackets and returns its address, without a route (`@a,@b:c@d`) and the scheme of a link.
/// White space within is left out beside dots and the `@` alone: elsewhere it would make two words another address.
pub(super) fn angle(tokens: &mut Tokens<'_>) -> String {
    let mut inner = Vec::new();
    let mut is_route = false;
    while let Some(token) = tokens.next() {
        match token {
            Token::Close => break,
            Token::Comma if is_route => {}
            // `<<a@b.c>>`, or the bracket before a name that stands before the address.
            Token::Open if !inner.contains(&Token::At) => inner.clear(),
            // The closing bracket is missing.
            Token::Open | Token::Comma | Token::Semicolon => {
                tokens.put_back = Some(token);
                break;
            }
            Token::Colon => {
                inner.clear();
                is_route = false;
            }
            Token::Comment(_) | Token::Space => {
                if inner.last() != Some(&Token::Space) {
                    inner.push(Token::Space);
                }
            }
            Token::At if inner.iter().all(|token| *token == Token::Space) => is_route = true,
            token => inner.push(token),
        }
    }
    if is_route {
        // No address follows: what stands there is none.
        inner.insert(0, Token::At);
    }
    let begin = inner.iter().position(|token| *token != Token::Space);
    let end = inner.iter().rposition(|token| *token != Token::Space);
    let range = begin
        .zip(end)
        .and_then(|(begin, end)| inner.get(begin..=end));
    let inner = range.unwrap_or_default();
    let is_gap = |window: &[Token<'_>]| match window {
        [left, Token::Space, right] => !is_joint(*left, *right),
        _ => false,
    };
    if inner.windows(3).any(is_gap) {
        let mut octets = Vec::new();
        for token in inner {
            token.push_plain(&mut octets);
        }
        return header_text(&octets);
    }
    address(inner)
}

/// Returns whether white space between two tokens of an address says nothing (RFC 5322 §4.4).
fn is_joint(left: Token<'_>, right: Token<'_>) -> bool {
    matches!(left, Token::Atom([.., b'.']))
        || right.begins_with_dot()
        || left == Token::At
        || right == Token::At
}

/// Splits words at white space, but not beside an `@`, nor around a dot that stands alone in a domain. Words that are one
/// address as a whole, with white space where RFC 5322 §4.4 allows it, are not split: a part of them would be another's.
pub(super) fn chunks<'t, 'a>(words: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    if is_spaced_address(words) {
        return vec![words];
    }
    let mut chunks = Vec::new();
    let mut begin = 0;
    let mut has_at = false;
    for (index, token) in words.iter().enumerate() {
        has_at |= *token == Token::At;
        if *token != Token::Space {
            continue;
        }
        let left = index.checked_sub(1).and_then(|left| words.get(left));
        let right = words.get(index + 1);
        let is_beside_at = left == Some(&Token::At) || right == Some(&Token::At);
        let is_beside_dot =
            left == Some(&Token::Atom(b".")) || right.is_some_and(Token::begins_with_dot);
        if is_beside_at || has_at && is_beside_dot {
            continue;
        }
        chunks.extend(words.get(begin..index).filter(|chunk| !chunk.is_empty()));
        begin = index + 1;
        has_at = false;
    }
    chunks.extend(words.get(begin..).filter(|chunk| !chunk.is_empty()));
    chunks
}

/// Returns whether words are one address whose white space says nothing: `a . b @ example . org`.
fn is_spaced_address(words: &[Token<'_>]) -> bool {
    let mut parts = words.iter().filter(|token| **token != Token::Space);
    let ats = parts.clone().filter(|token| **token == Token::At).count();
    let is_atom_or_quoted = |token: &Token<'_>| {
        matches!(
            token,
            Token::Atom(_) | Token::Quoted(_) | Token::Literal(_) | Token::At
        )
    };
    let first = words.iter().position(|token| *token != Token::Space);
    let last = words.iter().rposition(|token| *token != Token::Space);
    let inner = first
        .zip(last)
        .and_then(|(first, last)| words.get(first..=last));
    let Some(inner) = inner else { return false };
    ats == 1
        && parts.all(is_atom_or_quoted)
        && inner.windows(3).all(|window| match window {
            [left, Token::Space, right] => is_joint(*left, *right),
            _ => true,
        })
        && is_address(inner)
}

/// Returns whether there is something on both sides of an `@`.
pub(super) fn is_address(chunk: &[Token<'_>]) -> bool {
    let at = chunk.iter().rposition(|token| *token == Token::At);
    at.is_some_and(|at| at > 0 && at + 1 < chunk.len())
}

/// Returns tokens as an address without white space. Quotes around a piece of what stands before the `@` (RFC 5322
/// §4.4) go around all of it, as SMTP wants them.
pub(super) fn address(tokens: &[Token<'_>]) -> String {
    let at = tokens.iter().rposition(|token| *token == Token::At);
    let (local, domain) = tokens
        .split_at_checked(at.unwrap_or(tokens.len()))
        .unwrap_or((tokens, &[]));
    let is_quoted = |token: &Token<'_>| matches!(token, Token::Quoted(_));
    let mut octets = Vec::new();
    if local.len() > 1 && local.iter().any(is_quoted) {
        octets.push(b'"');
        for token in local {
            match token {
                Token::Quoted(quoted) => octets.extend_from_slice(quoted),
                Token::Space => {}
                other => other.push_plain(&mut octets),
            }
        }
        octets.push(b'"');
    } else {
        for token in local {
            token.push_address(&mut octets);
        }
    }
    for token in domain {
        token.push_address(&mut octets);
    }
    if octets.starts_with(b"=?") {
        // Some writers encode the address with the name.
        return header_text(&octets);
    }
    // Without its control characters it would be another address.
    let text = text(&octets, None);
    if octets.iter().any(u8::is_ascii_control) {
        format!("{}\u{fffd}", clean_line(text))
    } else {
        text
    }
}
