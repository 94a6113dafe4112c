use std::fmt;

use super::wire_error::WireError;

/// Maximum bytes kept of a reply's text.
const MAX_TEXT: usize = 8 * 1024;
/// Maximum lines of one reply.
const MAX_LINES: usize = 200;

/// An enhanced status code (RFC 3463), such as 5.7.139.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnhancedCode {
    /// 2 success, 4 transient, 5 permanent.
    pub class: u16,
    /// What it is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    pub detail: u16,
}

impl EnhancedCode {
    /// Reads the code at the start of a reply's text and returns it with the rest.
    fn split_from(text: &str) -> Option<(Self, &str)> {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let mut numbers = word.split('.').map(|part| {
            let is_number =
                (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        });
        let code = Self {
            class: numbers.next()??,
            subject: numbers.next()??,
            detail: numbers.next()??,
        };
        let is_valid = numbers.next().is_none() && matches!(code.class, 2 | 4 | 5);
        is_valid.then(|| (code, rest.trim_start()))
    }

    /// Returns whether subject and detail are these; the class may disagree with the reply's own.
    pub const fn is(self, subject: u16, detail: u16) -> bool {
        self.subject == subject && self.detail == detail
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A server's reply. Its text may name addresses: for events, not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: String,
}

impl Reply {
    /// Makes a reply as a server would have sent it, from its lines without line ends.
    pub fn parse(lines: &str) -> Result<Self, WireError> {
        let mut builder = ReplyBuilder::default();
        for line in lines.lines() {
            if let Some(reply) = builder.push(line.as_bytes())? {
                return Ok(reply);
            }
        }
        Err(WireError::NotAReply)
    }

    /// Returns the three-digit code.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// Returns the enhanced code, if the server gave one.
    pub const fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// Returns the text, one line each, without codes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether the command succeeded.
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Returns the codes without the text, which is fit for logs.
    pub fn status(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced}", self.code),
            None => self.code.to_string(),
        }
    }

    /// Masks secrets that a server echoes.
    pub(super) fn redact(&mut self, secrets: &[&str]) {
        for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
            if self.text.contains(secret) {
                self.text = self.text.replace(secret, "[hidden]");
            }
        }
        // Part of an echoed line that was too long for the server.
        if self.text.split_whitespace().any(|word| word.len() > 64) {
            let words: Vec<_> = self
                .text
                .split(' ')
                .map(|word| if word.len() > 64 { "[hidden]" } else { word })
                .collect();
            self.text = words.join(" ");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(formatter, " {enhanced}")?;
        }
        for line in self.text.lines().filter(|line| !line.is_empty()) {
            write!(formatter, " {line}")?;
        }
        Ok(())
    }
}

/// Gathers the lines of one reply.
#[derive(Debug, Default)]
pub(super) struct ReplyBuilder {
    enhanced: Option<EnhancedCode>,
    text: String,
    lines: usize,
}

impl ReplyBuilder {
    /// Takes one line without its line end; returns the reply after its last.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<Option<Reply>, WireError> {
        let (digits, rest) = line.split_at_checked(3).ok_or(WireError::NotAReply)?;
        let code = match digits {
            [
                first @ b'2'..=b'5',
                second @ b'0'..=b'9',
                third @ b'0'..=b'9',
            ] => [first, second, third]
                .iter()
                .fold(0, |code, digit| code * 10 + u16::from(**digit - b'0')),
            _ => return Err(WireError::NotAReply),
        };
        let (is_last, text) = match rest {
            // RFC 5321 §4.2: the space and the text are optional.
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(WireError::NotAReply),
        };
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(WireError::ReplyTooLong);
        }
        self.keep(text);
        Ok(is_last.then(|| Reply {
            code,
            enhanced: self.enhanced,
            text: std::mem::take(&mut self.text),
        }))
    }

    fn keep(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let mut text = text.trim();
        if let Some((enhanced, rest)) = EnhancedCode::split_from(text) {
            self.enhanced = self.enhanced.or(Some(enhanced));
            text = rest;
        }
        if self.lines > 1 {
            self.text.push('\n');
        }
        let room = MAX_TEXT.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text
                .extend(text.chars().filter(|character| !character.is_control()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multi_line_replies_are_joined_and_their_code_taken_once() {
        let reply = Reply::parse(
            "550-5.4.5 Daily user sending limit exceeded. For more\n550 5.4.5  information, go",
        )
        .unwrap();

        assert_eq!(reply.code(), 550);
        assert_eq!(
            reply.enhanced(),
            Some(EnhancedCode {
                class: 5,
                subject: 4,
                detail: 5
            })
        );
        assert_eq!(
            reply.to_string(),
            "550 5.4.5 Daily user sending limit exceeded. For more information, go"
        );
        assert_eq!(reply.status(), "550 5.4.5");
        assert_eq!(Reply::parse("250").unwrap().to_string(), "250");
        assert_eq!(
            Reply::parse("250-8BITMIME\n250 SIZE 1").unwrap().text(),
            "8BITMIME\nSIZE 1"
        );
    }

    #[test]
    fn what_only_looks_like_an_enhanced_code_stays_text() {
        for text in [
            "1.2.3 x",
            "5.1 x",
            "5.1.1.1 x",
            "5.1.x",
            "10.0.0.1 is blocked",
            "5.1.1234 x",
            "5..1 x",
        ] {
            assert_eq!(
                Reply::parse(&format!("550 {text}")).unwrap().enhanced(),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for line in [
            "",
            "25",
            "abc",
            "650 x",
            "250x",
            "199 x",
            "* OK IMAP",
            "25\u{e9} x",
        ] {
            assert!(Reply::parse(line).is_err(), "{line}");
        }
        assert!(Reply::parse(&"250-x\n".repeat(300)).is_err());
    }

    #[test]
    fn echoed_secrets_are_blotted_out() {
        let mut reply =
            Reply::parse(&format!("501 bad: AUTH XOAUTH2 dXNlcg {}", "A".repeat(70))).unwrap();

        reply.redact(&["dXNlcg"]);

        assert_eq!(reply.text(), "bad: AUTH XOAUTH2 [hidden] [hidden]");
    }
}
