use super::super::lexer::{Lexer, Token};

/// The items of a STATUS response that we use, as the server wrote them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::imap) struct FolderStatus {
    pub(in crate::imap) uid_validity: Option<String>,
    pub(in crate::imap) uid_next: Option<String>,
}

impl FolderStatus {
    /// Reads what follows `STATUS`.
    pub(super) fn read(mut lexer: Lexer<'_>) -> Option<Self> {
        let _name = lexer.next()?.bytes()?;
        if lexer.next()? != Token::Open {
            return None;
        }
        let mut status = Self::default();
        loop {
            let name = match lexer.next()? {
                Token::Close => return Some(status),
                Token::Atom(name) => name,
                _ => return None,
            };
            let value = lexer.next()?;
            let text = || Some(String::from_utf8_lossy(&value.bytes()?).into_owned());
            if name.eq_ignore_ascii_case(b"UIDVALIDITY") {
                status.uid_validity = text();
            } else if name.eq_ignore_ascii_case(b"UIDNEXT") {
                status.uid_next = text();
            } else {
                lexer.skip_value(value)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<FolderStatus> {
        FolderStatus::read(Lexer::new(text.as_bytes()))
    }

    #[test]
    fn items_are_read_in_any_order_and_others_passed_over() {
        for text in [
            "INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 1713632002544)",
            "{5}\r\nINBOX (uidvalidity 1713632002544 X (1 (2)) UIDNEXT 9)",
            "\"IN BOX\" (UIDVALIDITY \"1713632002544\" UIDNEXT 9)",
        ] {
            let expected = FolderStatus {
                uid_validity: Some("1713632002544".to_owned()),
                uid_next: Some("9".to_owned()),
            };
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn cut_off_response_is_none() {
        for text in ["", "INBOX", "INBOX (", "INBOX (UIDNEXT", "(UIDNEXT 9)"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
