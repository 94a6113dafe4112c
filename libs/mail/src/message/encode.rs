use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::address::Mailbox;

/// RFC 5322 asks for lines of 78 and forbids more than 998.
const FOLD_AT: usize = 78;
/// A word longer than this could break the 998 octets together with its header's name.
const MAX_WORD: usize = 900;
const MAX_GAP: usize = 60;

/// Appends `name: value` as free text, folded, in encoded words where it has to be.
pub(super) fn push_text(out: &mut String, name: &str, value: &str) {
    let value = value.trim();
    out.push_str(name);
    out.push_str(": ");
    if needs_encoding(value) {
        push_encoded_words(out, name.len() + 2, value);
    } else {
        push_folded(out, name.len() + 2, value);
    }
    out.push_str("\r\n");
}

/// Appends `name: id id…`, one id a line when they do not fit.
pub(super) fn push_ids(out: &mut String, name: &str, ids: &[String]) {
    out.push_str(name);
    out.push_str(": ");
    push_list(out, name.len() + 2, " ", ids.iter().map(String::as_str));
    out.push_str("\r\n");
}

/// Appends `name: mailbox, mailbox…`; nothing when the list is empty.
pub(super) fn push_mailboxes(out: &mut String, name: &str, mailboxes: &[Mailbox]) {
    if mailboxes.is_empty() {
        return;
    }
    let encoded: Vec<String> = mailboxes.iter().map(mailbox).collect();
    out.push_str(name);
    out.push_str(": ");
    push_list(
        out,
        name.len() + 2,
        ", ",
        encoded.iter().map(String::as_str),
    );
    out.push_str("\r\n");
}

fn push_list<'a>(
    out: &mut String,
    mut column: usize,
    separator: &str,
    items: impl Iterator<Item = &'a str>,
) {
    for (index, item) in items.enumerate() {
        let first_line = item.find("\r\n").unwrap_or(item.len());
        if index > 0 {
            if column + separator.len() + first_line > FOLD_AT {
                out.push_str(separator.trim_end());
                out.push_str("\r\n ");
                column = 1;
            } else {
                out.push_str(separator);
                column += separator.len();
            }
        }
        out.push_str(item);
        column = match item.rfind("\r\n") {
            Some(at) => item.len() - at - 2,
            None => column + item.len(),
        };
    }
}

fn mailbox(mailbox: &Mailbox) -> String {
    let Some(name) = mailbox.name.as_deref().map(str::trim) else {
        return mailbox.address.clone();
    };
    if name.is_empty() {
        return mailbox.address.clone();
    }
    let mut out = String::with_capacity(name.len() + mailbox.address.len() + 8);
    if needs_encoding(name) || name.len() > 200 {
        push_encoded_words(&mut out, 12, name);
        // The address would stretch the last encoded word's line over the bound of RFC 2047.
        out.push_str("\r\n");
    } else if name.bytes().all(|byte| is_atom(byte) || byte == b' ') {
        out.push_str(name);
    } else {
        out.push('"');
        for character in name.chars() {
            if matches!(character, '"' | '\\') {
                out.push('\\');
            }
            out.push(character);
        }
        out.push('"');
    }
    out.push_str(" <");
    out.push_str(&mailbox.address);
    out.push('>');
    out
}

const fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'_'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
}

/// Text that looks like an encoded word already would be decoded by the reader, so it is encoded too.
fn needs_encoding(value: &str) -> bool {
    !value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        || value.contains("=?")
        || value
            .as_bytes()
            .chunk_by(|a, b| is_blank(*a) == is_blank(*b))
            .any(is_too_long)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A gap goes on one line with the word behind it.
fn is_too_long(run: &[u8]) -> bool {
    let limit = if run.iter().all(|byte| is_blank(*byte)) {
        MAX_GAP
    } else {
        MAX_WORD
    };
    run.len() > limit
}

/// Folds before white space only, and never so that a line has nothing but white space.
fn push_folded(out: &mut String, mut column: usize, value: &str) {
    let mut rest = value;
    let mut is_first = true;
    while !rest.is_empty() {
        let word_at = rest
            .find(|character| !matches!(character, ' ' | '\t'))
            .unwrap_or(rest.len());
        let (gap, tail) = rest.split_at(word_at);
        let word_end = tail.find([' ', '\t']).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(word_end);
        if !is_first && column + gap.len() + word.len() > FOLD_AT {
            out.push_str("\r\n");
            column = 0;
        }
        out.push_str(gap);
        out.push_str(word);
        column += gap.len() + word.len();
        is_first = false;
        rest = tail;
    }
}

/// Appends `value` as Base64 encoded words of at most 75 octets (RFC 2047 §2), split between characters.
fn push_encoded_words(out: &mut String, column: usize, value: &str) {
    // 12 octets are `=?utf-8?b?` and `?=`; the line may have 76.
    let mut room = (76_usize.saturating_sub(column + 12) / 4 * 3).max(12);
    let mut rest = value;
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(rest.floor_char_boundary(room));
        if rest.len() != value.len() {
            out.push_str("\r\n ");
        }
        out.push_str("=?utf-8?b?");
        STANDARD.encode_string(chunk, out);
        out.push_str("?=");
        rest = tail;
        room = 45;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, "Subject", value);
        out
    }

    #[test]
    fn lines_stay_short_and_unfold_to_the_same_text() {
        let long = "many words ".repeat(200);

        let folded = text(&long);

        assert!(folded.lines().all(|line| line.len() <= FOLD_AT));
        assert_eq!(
            folded.replace("\r\n ", " ").trim_end(),
            format!("Subject: {}", long.trim())
        );
    }

    #[test]
    fn encoded_words_are_bounded_and_split_between_characters() {
        let encoded = text(&"ü".repeat(500));

        assert!(encoded.lines().all(|line| line.len() <= 76));
        assert_eq!(
            text("=?utf-8?q?x?="),
            "Subject: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\r\n"
        );
        assert!(text(&"x".repeat(5000)).lines().all(|line| line.len() <= 76));
    }

    #[test]
    fn names_are_quoted_or_encoded_as_needed() {
        for (name, expected) in [
            ("Jane Doe", "Jane Doe <a@b.c>"),
            ("Doe, \"J\"", r#""Doe, \"J\"" <a@b.c>"#),
            ("Zoë", "=?utf-8?b?Wm/Dqw==?=\r\n <a@b.c>"),
            (" ", "a@b.c"),
        ] {
            let name = Some(name.to_owned());
            assert_eq!(
                mailbox(&Mailbox {
                    name,
                    address: "a@b.c".into()
                }),
                expected
            );
        }
    }
}
