use bytes::{Buf as _, Bytes};

use super::sequence::Sequence;
use crate::server::bytes::find_byte;

/// The text does not follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a command from left to right; every reader skips blanks before what it reads.
#[derive(Debug, Clone)]
pub(super) struct Parser {
    rest: Bytes,
}

impl Parser {
    pub(super) const fn new(rest: Bytes) -> Self {
        Self { rest }
    }

    fn skip_blanks(&mut self) {
        while self.rest.first() == Some(&b' ') {
            self.rest.advance(1);
        }
    }

    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.rest
            .first()
            .copied()
            .filter(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes `byte` if it stands here, even after blanks.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_here = self.peek() == Some(byte);
        if is_here {
            self.rest.advance(1);
        }
        is_here
    }

    /// Takes `byte` if it is the very next one.
    pub(super) fn take_next(&mut self, byte: u8) -> bool {
        let is_here = self.rest.first() == Some(&byte);
        if is_here {
            self.rest.advance(1);
        }
        is_here
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> Result<Bytes, Malformed> {
        self.skip_blanks();
        let length = self
            .rest
            .iter()
            .position(|byte| !is_part(*byte))
            .unwrap_or(self.rest.len());
        if length == 0 {
            return Err(Malformed);
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn tag(&mut self) -> Result<String, Malformed> {
        text(&self.take_while(|byte| is_atom(byte) && byte != b'+')?)
    }

    /// Reads a command or keyword, in capitals.
    pub(super) fn word(&mut self) -> Result<String, Malformed> {
        let mut word = self.atom()?;
        word.make_ascii_uppercase();
        Ok(word)
    }

    pub(super) fn atom(&mut self) -> Result<String, Malformed> {
        text(&self.take_while(is_atom)?)
    }

    /// Reads a flag: an atom, with a backslash before it or not.
    pub(super) fn flag(&mut self) -> Result<String, Malformed> {
        text(&self.take_while(|byte| is_atom(byte) || byte == b'\\')?)
    }

    /// Reads the item's name up to a bracket or blank, in capitals.
    pub(super) fn item(&mut self) -> Result<String, Malformed> {
        let name = self.take_while(|byte| is_atom(byte) && byte != b'[' && byte != b'<')?;
        text(&name).map(|name| name.to_ascii_uppercase())
    }

    pub(super) fn number(&mut self) -> Result<u32, Malformed> {
        let digits = self.take_while(|byte| byte.is_ascii_digit())?;
        text(&digits)?.parse().map_err(|_| Malformed)
    }

    pub(super) fn sequence(&mut self) -> Result<Sequence, Malformed> {
        let set = self.take_while(|byte| {
            byte.is_ascii_digit() || matches!(byte, b':' | b',' | b'*' | b'$')
        })?;
        Sequence::parse(&text(&set)?).ok_or(Malformed)
    }

    /// Reads an atom, a quoted string or a literal.
    pub(super) fn astring(&mut self) -> Result<Bytes, Malformed> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.take_while(|byte| is_atom(byte) || byte == b']'),
        }
    }

    /// Reads a mailbox pattern, where `%` and `*` are allowed too.
    pub(super) fn pattern(&mut self) -> Result<String, Malformed> {
        let pattern = match self.peek() {
            Some(b'"') => self.quoted()?,
            Some(b'{') => self.literal()?,
            _ => self.take_while(|byte| is_atom(byte) || matches!(byte, b'%' | b'*' | b']'))?,
        };
        text(&pattern)
    }

    pub(super) fn string(&mut self) -> Result<String, Malformed> {
        text(&self.astring()?)
    }

    pub(super) fn literal(&mut self) -> Result<Bytes, Malformed> {
        self.expect(b'{')?;
        let length = self.number()?;
        self.take_next(b'+');
        if !self.take_next(b'}') {
            return Err(Malformed);
        }
        self.take_next(b'\r');
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        if !self.take_next(b'\n') || length > self.rest.len() {
            return Err(Malformed);
        }
        Ok(self.rest.split_to(length))
    }

    fn quoted(&mut self) -> Result<Bytes, Malformed> {
        self.expect(b'"')?;
        let close = find_byte(b'"', &self.rest).ok_or(Malformed)?;
        let plain = self.rest.get(..close).unwrap_or_default();
        if plain.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(Malformed);
        }
        if !plain.contains(&b'\\') {
            let plain = self.rest.split_to(close);
            self.rest.advance(1);
            return Ok(plain);
        }
        self.escaped()
    }

    fn escaped(&mut self) -> Result<Bytes, Malformed> {
        let mut unescaped = Vec::new();
        while let Some(byte) = self.rest.first().copied() {
            self.rest.advance(1);
            match byte {
                b'"' => return Ok(unescaped.into()),
                b'\r' | b'\n' => return Err(Malformed),
                b'\\' => {
                    unescaped.push(self.rest.first().copied().ok_or(Malformed)?);
                    self.rest.advance(1);
                }
                _ => unescaped.push(byte),
            }
        }
        Err(Malformed)
    }

    /// Reads flags in parentheses, or one or more without.
    pub(super) fn flags(&mut self) -> Result<crate::mailbox::Flags, Malformed> {
        let mut flags = crate::mailbox::Flags::default();
        let is_list = self.take(b'(');
        if !is_list && self.is_at_end() {
            return Err(Malformed);
        }
        while self.peek().is_some_and(|byte| byte != b')') {
            flags.add_name(&self.flag()?);
        }
        if is_list {
            self.expect(b')')?;
        }
        Ok(flags)
    }
}

fn is_atom(byte: u8) -> bool {
    byte > b' '
        && byte != 0x7f
        && !matches!(byte, b'(' | b')' | b'{' | b'"' | b'\\' | b'%' | b'*' | b']')
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parser(text: &'static str) -> Parser {
        Parser::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn strings_come_plain_quoted_and_literal() {
        let mut parser = parser("INBOX \"a \\\"b\\\"\" {3}\r\nx y {2+}\r\nok\r\n");

        let read: Vec<_> = (0..4).map(|_| parser.string()).collect();

        assert_eq!(
            read,
            ["INBOX", "a \"b\"", "x y", "ok"].map(|text| Ok(text.to_owned()))
        );
        assert!(parser.is_at_end());
    }

    #[test]
    fn broken_strings_are_refused() {
        for text in ["\"open\r\n", "{9}\r\nshort", "{x}\r\n", "\r\n", "(\r\n"] {
            assert_eq!(parser(text).string(), Err(Malformed), "{text:?}");
        }
    }
}
