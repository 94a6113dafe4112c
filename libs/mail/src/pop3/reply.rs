use crate::ServerText;
use crate::server_text::shorten;

/// The longest response code that is kept.
const CODE_CHARACTERS: usize = 40;

/// What a server says with `-ERR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrReply {
    /// The response code (RFC 2449 §8, RFC 3206), in capitals; most servers have none.
    pub code: Option<String>,
    pub text: ServerText,
}

/// The first line of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+OK`, with what follows.
    Ok(Vec<u8>),
    Refused(ErrReply),
    /// `+`, with what follows: the server waits for a line of the sign-in.
    Continue(Vec<u8>),
}

impl Reply {
    /// Reads a line without its end; `None` if it is no reply.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        if let Some(rest) = after_word(line, b"+OK") {
            return Some(Self::Ok(rest.to_vec()));
        }
        if let Some(rest) = after_word(line, b"-ERR") {
            return Some(Self::Refused(ErrReply::parse(rest)));
        }
        match line {
            [b'+'] => Some(Self::Continue(Vec::new())),
            [b'+', b' ', rest @ ..] => Some(Self::Continue(rest.trim_ascii().to_vec())),
            _ => None,
        }
    }
}

impl ErrReply {
    fn parse(rest: &[u8]) -> Self {
        let bracketed = rest
            .strip_prefix(b"[")
            .and_then(|rest| Some(rest.split_at(rest.iter().position(|byte| *byte == b']')?)));
        let Some((code, text)) = bracketed else {
            return Self {
                code: None,
                text: ServerText::new(rest),
            };
        };
        let code = String::from_utf8_lossy(code);
        let code = shorten(code.trim(), CODE_CHARACTERS).to_ascii_uppercase();
        Self {
            code: (!code.is_empty()).then_some(code),
            text: ServerText::new(text.get(1..).unwrap_or_default()),
        }
    }
}

fn after_word<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(word.len())?;
    let ends_here = matches!(rest, [] | [b' ' | b'\t', ..]);
    (head.eq_ignore_ascii_case(word) && ends_here).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> (Option<String>, String) {
        match Reply::parse(line.as_bytes()) {
            Some(Reply::Refused(refusal)) => (refusal.code, refusal.text.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_are_told_from_text() {
        let code = |text: &str| Some(text.to_owned());

        assert_eq!(
            refusal("-ERR [in-use] Do you have another POP session?"),
            (
                code("IN-USE"),
                "Do you have another POP session?".to_owned()
            )
        );
        assert_eq!(
            refusal("-err [SYS/TEMP]"),
            (code("SYS/TEMP"), String::new())
        );
        assert_eq!(refusal("-ERR [open"), (None, "[open".to_owned()));
        assert_eq!(refusal("-ERR"), (None, String::new()));
    }

    #[test]
    fn a_plus_alone_asks_for_more_and_with_ok_it_does_not() {
        let parse = |line: &str| Reply::parse(line.as_bytes());

        assert_eq!(parse("+"), Some(Reply::Continue(Vec::new())));
        assert_eq!(parse("+ go on"), Some(Reply::Continue(b"go on".to_vec())));
        assert_eq!(parse("+ok 2 320"), Some(Reply::Ok(b"2 320".to_vec())));
        for line in ["", "+OKAY", "-ERROR", "* OK IMAP4rev1", "220 ESMTP", "+x"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
