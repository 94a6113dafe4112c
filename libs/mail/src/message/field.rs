use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::parsers::MessageStream;
use mail_parser::{Header, MessageParser};

use super::charset::text;
use super::encoded_word::EncodedWord;

/// Characters with a meaning to the parser; a control character each takes their place where they are only text.
const SPECIALS: &[u8; 14] = b"?=,<>@:;()\"\\*'";
const FIRST_PLACEHOLDER: u8 = 0x0e;
const LAST_PLACEHOLDER: u8 = 0x1b;

/// Each parameter of a field, and each of its pieces (RFC 2231), takes the parser time by the number of all others;
/// this many of their special characters serve a name of 255 characters.
const MAX_PARAMETER_SPECIALS: usize = 128;

/// Reads header fields; the end that `head` may lack is added. `None` when the parser panicked.
///
/// `read` gets the head as it is, and values from which [`unmask`] must restore what was masked.
pub(super) fn read_fields<T>(
    parser: &MessageParser,
    head: &[u8],
    limit: usize,
    read: impl FnOnce(&[u8], &[Header<'_>]) -> T,
) -> Option<T> {
    let head = in_utf8(head.get(..limit).unwrap_or(head));
    let mut masked = mask(&head);
    masked.extend_from_slice(b"\r\n\r\n");
    // mail-parser has had panics on damaged mail (its issues 120, 145, 155); one mail must not stop the next.
    catch_unwind(AssertUnwindSafe(|| {
        let mut fields = Vec::new();
        MessageStream::new(&masked).parse_headers(parser, &mut fields);
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

/// Masks encoded words, which the parser would look for in all that follows each `=?`, and more parameters than it
/// can join in good time. The copy has the length of `head`.
fn mask(head: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(head.len() + 4);
    let mut parameter_specials = 0;
    let mut rest = head;
    while let [byte, tail @ ..] = rest {
        let mut taken = 1;
        match byte {
            b'=' if tail.first() == Some(&b'?') => {
                // Special characters within a word are text, so that `=?utf-8?q?Doe,_J?=` remains one name.
                taken = EncodedWord::at_start(rest).map_or(2, |word| word.length);
                let word = rest.get(..taken).unwrap_or_default();
                masked.extend(word.iter().map(|byte| placeholder(*byte)));
            }
            b'=' | b'*' | b'\'' => {
                parameter_specials += 1;
                let is_read = parameter_specials <= MAX_PARAMETER_SPECIALS;
                masked.push(if is_read { *byte } else { placeholder(*byte) });
            }
            b'\n' => {
                if !matches!(tail, [b' ' | b'\t', ..]) {
                    parameter_specials = 0;
                }
                masked.push(b'\n');
            }
            FIRST_PLACEHOLDER..=LAST_PLACEHOLDER => masked.push(0),
            _ => masked.push(*byte),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    masked
}

fn placeholder(byte: u8) -> u8 {
    let place = SPECIALS.iter().position(|special| *special == byte);
    let place = place.and_then(|place| u8::try_from(place).ok());
    place.map_or(byte, |place| FIRST_PLACEHOLDER + place)
}

/// Restores what [`mask`] replaced.
pub(super) fn unmask(value: &str) -> Cow<'_, str> {
    let special_of = |character: char| {
        let byte = u8::try_from(character).ok()?;
        let special = SPECIALS.get(usize::from(byte.checked_sub(FIRST_PLACEHOLDER)?))?;
        Some(char::from(*special))
    };
    if value
        .chars()
        .all(|character| special_of(character).is_none())
    {
        return Cow::Borrowed(value);
    }
    let unmasked = value
        .chars()
        .map(|character| special_of(character).unwrap_or(character));
    Cow::Owned(unmasked.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_fields_are_unmasked_to_what_they_were() {
        let head = "To: =?utf-8?q?Doe,_(J)?= <j@x>\n a=?b\nX: it's *\n =?x?b?a=b=?= ?";

        let masked = String::from_utf8(mask(head.as_bytes())).unwrap();

        assert_eq!(masked.len(), head.len());
        assert!(!masked.contains("=?") && !masked.contains(','));
        assert!(masked.contains("<j@x>") && masked.contains("it's *"));
        assert_eq!(unmask(&masked), head);
        assert_eq!(
            SPECIALS.len(),
            usize::from(LAST_PLACEHOLDER - FIRST_PLACEHOLDER) + 1
        );
    }

    #[test]
    fn placeholders_in_the_input_stand_for_nothing() {
        assert_eq!(mask(b"a\x0e\x1bb\x1c"), b"a\0\0b\x1c");
    }

    #[test]
    fn only_so_many_parameters_are_read_in_a_field() {
        for special in ["=", "*", "'"] {
            let head = format!(
                "A: {}\n {}\nB: {special}",
                special.repeat(100),
                special.repeat(100)
            );

            let masked = String::from_utf8(mask(head.as_bytes())).unwrap();

            assert_eq!(masked.matches(special).count(), MAX_PARAMETER_SPECIALS + 1);
            assert!(masked.ends_with(special));
            assert_eq!(unmask(&masked), head);
        }
    }
}
