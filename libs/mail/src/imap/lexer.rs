use std::borrow::Cow;

use super::guard::announced_literal;

/// One element of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    Atom(&'a [u8]),
    /// Between the quotes, escapes not resolved.
    Quoted(&'a [u8]),
    Literal(&'a [u8]),
}

impl<'a> Token<'a> {
    /// Returns the bytes of a string or atom, escapes resolved.
    pub(super) fn bytes(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Atom(bytes) | Self::Literal(bytes) => Some(Cow::Borrowed(bytes)),
            Self::Quoted(raw) => Some(unescape(raw)),
            Self::Open | Self::Close => None,
        }
    }

    /// Returns the number that an atom spells.
    pub(super) fn number<T: std::str::FromStr>(self) -> Option<T> {
        match self {
            Self::Atom(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }
}

/// Cuts a complete response into tokens; never recurses, so depth costs nothing.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the next token; `None` at the end of the line or where the grammar ends.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        match self.rest {
            [] | [b'\r' | b'\n', ..] => None,
            [b'(', rest @ ..] => {
                self.rest = rest;
                Some(Token::Open)
            }
            [b')', rest @ ..] => {
                self.rest = rest;
                Some(Token::Close)
            }
            [b'"', rest @ ..] => self.quoted(rest),
            [b'{', ..] | [b'~', b'{', ..] => self.literal(),
            _ => self.atom(),
        }
    }

    /// Returns whether nothing is left of the line: [`Self::next`] also ends where the grammar does.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.trim_ascii().is_empty()
    }

    /// Skips the rest of a value whose first token was taken; a list with all that is nested in it.
    pub(super) fn skip_value(&mut self, first: Token<'_>) -> Option<()> {
        if first != Token::Open {
            return Some(());
        }
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()? {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }

    fn quoted(&mut self, rest: &'a [u8]) -> Option<Token<'a>> {
        let mut is_escaped = false;
        for (index, byte) in rest.iter().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    let (inner, after) = rest.split_at_checked(index)?;
                    self.rest = after.get(1..)?;
                    return Some(Token::Quoted(inner));
                }
                _ => {}
            }
        }
        None
    }

    fn literal(&mut self) -> Option<Token<'a>> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (header, after) = self.rest.split_at_checked(end)?;
        let header = header.strip_suffix(b"\r").unwrap_or(header);
        let count = usize::try_from(announced_literal(header)?).ok()?;
        let (literal, after) = after.get(1..)?.split_at_checked(count)?;
        self.rest = after;
        Some(Token::Literal(literal))
    }

    fn atom(&mut self) -> Option<Token<'a>> {
        // `BODY[HEADER.FIELDS (X)]<0>` is one name although it holds spaces and parentheses.
        let has_section = [&b"BODY["[..], b"BINARY["].iter().any(|name| {
            self.rest
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        let mut is_in_section = false;
        let end = self.rest.iter().position(|byte| match byte {
            b'[' if has_section => {
                is_in_section = true;
                false
            }
            b']' => {
                is_in_section = false;
                false
            }
            b'\r' | b'\n' => true,
            b' ' | b'(' | b')' | b'"' => !is_in_section,
            // GreenMail sets no space between `BODY[]<0>` and its literal.
            b'{' => has_section && !is_in_section,
            _ => false,
        });
        let (atom, after) = self.rest.split_at_checked(end.unwrap_or(self.rest.len()))?;
        self.rest = after;
        if atom.is_empty() {
            None
        } else {
            Some(Token::Atom(atom))
        }
    }
}

fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut is_escaped = false;
    let clean = raw
        .iter()
        .filter(|byte| {
            is_escaped = !is_escaped && **byte == b'\\';
            !is_escaped
        })
        .copied()
        .collect();
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &[u8]) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| lexer.next()).collect()
    }

    #[test]
    fn sections_strings_and_literals_are_single_tokens() {
        assert_eq!(
            tokens(b"(BODY[HEADER.FIELDS (A B)]<0>{3}\r\n) ( \"x \\\" y\" $a])\r\n"),
            [
                Token::Open,
                Token::Atom(b"BODY[HEADER.FIELDS (A B)]<0>"),
                Token::Literal(b") ("),
                Token::Quoted(b"x \\\" y"),
                Token::Atom(b"$a]"),
                Token::Close,
            ]
        );
    }

    #[test]
    fn escapes_are_resolved_once() {
        let quoted = Token::Quoted(br#"a\\\"b"#).bytes();

        assert_eq!(quoted.as_deref(), Some(&br#"a\"b"#[..]));
    }

    #[test]
    fn depth_does_not_cost_stack() {
        let mut deep = vec![b'('; 300_000];
        deep.extend_from_slice(b"\r\n");
        let mut lexer = Lexer::new(&deep);
        let first = lexer.next().unwrap();

        assert_eq!(lexer.skip_value(first), None);
    }

    #[test]
    fn cut_off_input_ends_the_tokens() {
        for text in [&b"\"abc\r\n"[..], b"{5}\r\nab", b"{x}\r\n", b""] {
            assert_eq!(tokens(text), [], "{text:?}");
        }
    }
}
