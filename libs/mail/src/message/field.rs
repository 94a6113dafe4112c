use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::parsers::MessageStream;
use mail_parser::{Header, MessageParser};

use super::decode::text;
use super::encoded_word::EncodedWord;

/// What means something to the parser, and the control characters that stand for it while it does not.
const SIGNS: &[u8; 14] = b"?=,<>@:;()\"\\*'";
const FIRST_STAND_IN: u8 = 0x0e;
const LAST_STAND_IN: u8 = 0x1b;

/// Each parameter of a field, and each of its pieces (RFC 2231), takes the parser time by the number of all others;
/// this many of their signs serve a name of 255 characters.
const MAX_PARAMETER_SIGNS: usize = 128;

/// Reads header fields; the end that `head` may lack is added. `None` when the parser panicked.
///
/// `read` gets the head as it is, and values from which [`show`] must take what was hidden from the parser.
pub(super) fn read_fields<T>(
    parser: &MessageParser,
    head: &[u8],
    limit: usize,
    read: impl FnOnce(&[u8], &[Header<'_>]) -> T,
) -> Option<T> {
    let head = in_utf8(head.get(..limit).unwrap_or(head));
    let mut hidden = hide(&head);
    hidden.extend_from_slice(b"\r\n\r\n");
    // mail-parser has had panics on damaged mail (its issues 120, 145, 155); one mail must not stop the next.
    catch_unwind(AssertUnwindSafe(|| {
        let mut fields = Vec::new();
        MessageStream::new(&hidden).parse_headers(parser, &mut fields);
        read(&head, &fields)
    }))
    .ok()
}

/// Turns lines of another character set into UTF-8: the parser would lose what it cannot read in names and addresses.
fn in_utf8(head: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(head).is_ok() {
        return Cow::Borrowed(head);
    }
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    let read: String = lines.map(|line| text(line, None)).collect();
    Cow::Owned(read.into_bytes())
}

/// Hides encoded words, which the parser would look for in all that follows each `=?`, and more parameters than it
/// can join in good time. The copy has the length of `head`.
fn hide(head: &[u8]) -> Vec<u8> {
    let mut hidden = Vec::with_capacity(head.len() + 4);
    let mut parameter_signs = 0;
    let mut rest = head;
    while let [byte, tail @ ..] = rest {
        let mut taken = 1;
        match byte {
            b'=' if tail.first() == Some(&b'?') => {
                // Signs within a word are text, so that `=?utf-8?q?Doe,_J?=` remains one name.
                taken = EncodedWord::at_start(rest).map_or(2, |word| word.length);
                let word = rest.get(..taken).unwrap_or_default();
                hidden.extend(word.iter().map(|byte| stand_in(*byte)));
            }
            b'=' | b'*' | b'\'' => {
                parameter_signs += 1;
                let is_read = parameter_signs <= MAX_PARAMETER_SIGNS;
                hidden.push(if is_read { *byte } else { stand_in(*byte) });
            }
            b'\n' => {
                if !matches!(tail, [b' ' | b'\t', ..]) {
                    parameter_signs = 0;
                }
                hidden.push(b'\n');
            }
            FIRST_STAND_IN..=LAST_STAND_IN => hidden.push(0),
            _ => hidden.push(*byte),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    hidden
}

fn stand_in(byte: u8) -> u8 {
    let place = SIGNS.iter().position(|sign| *sign == byte);
    let place = place.and_then(|place| u8::try_from(place).ok());
    place.map_or(byte, |place| FIRST_STAND_IN + place)
}

/// Puts back what was hidden from the parser.
pub(super) fn show(value: &str) -> Cow<'_, str> {
    let sign_of = |character: char| {
        let byte = u8::try_from(character).ok()?;
        let sign = SIGNS.get(usize::from(byte.checked_sub(FIRST_STAND_IN)?))?;
        Some(char::from(*sign))
    };
    if value.chars().all(|character| sign_of(character).is_none()) {
        return Cow::Borrowed(value);
    }
    let shown = value
        .chars()
        .map(|character| sign_of(character).unwrap_or(character));
    Cow::Owned(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hidden_is_shown_again() {
        let head = "To: =?utf-8?q?Doe,_(J)?= <j@x>\n a=?b\nX: it's *\n =?x?b?a=b=?= ?";

        let hidden = String::from_utf8(hide(head.as_bytes())).unwrap();

        assert_eq!(hidden.len(), head.len());
        assert!(!hidden.contains("=?") && !hidden.contains(','));
        assert!(hidden.contains("<j@x>") && hidden.contains("it's *"));
        assert_eq!(show(&hidden), head);
        assert_eq!(SIGNS.len(), usize::from(LAST_STAND_IN - FIRST_STAND_IN) + 1);
    }

    #[test]
    fn stand_ins_in_the_input_stand_for_nothing() {
        assert_eq!(hide(b"a\x0e\x1bb\x1c"), b"a\0\0b\x1c");
    }

    #[test]
    fn only_so_many_parameters_are_read_in_a_field() {
        for sign in ["=", "*", "'"] {
            let head = format!("A: {}\n {}\nB: {sign}", sign.repeat(100), sign.repeat(100));

            let hidden = String::from_utf8(hide(head.as_bytes())).unwrap();

            assert_eq!(hidden.matches(sign).count(), MAX_PARAMETER_SIGNS + 1);
            assert!(hidden.ends_with(sign));
            assert_eq!(show(&hidden), head);
        }
    }
}
