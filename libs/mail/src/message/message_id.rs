use super::clean::clean_line;
use super::encoded_word::header_text;

const MAX_IDS: usize = 100;
/// A longer one, with its brackets and a space, has no place on a line (RFC 5322 §2.1.1): an answer could not name it.
const MAX_ID: usize = 995;
const MAX_VALUE: usize = 64 * 1024;

/// Reads message ids with their angle brackets. Words beside them are left out (RFC 5322 §4.5.4); where no id has
/// brackets, those that look like one get them.
pub(super) fn read(value: &[u8]) -> Vec<String> {
    // Of a longer list the end is read: the newest ids stand there.
    let begin = value.len().saturating_sub(MAX_VALUE);
    // Some servers write long lists of ids as encoded words.
    let text = header_text(value.get(begin..).unwrap_or(value));
    let plain = without_comments(&text);
    let mut ids = bracketed(plain.as_deref().unwrap_or(&text));
    if ids.is_empty() && plain.is_some() {
        ids = bracketed(&text);
    }
    if ids.is_empty() {
        let words = text.split([' ', '\t', ',', ';']);
        ids = kept(words.filter(|word| word.contains('@')));
    }
    ids
}

/// An id ends at its bracket; the last one may have lost it.
fn bracketed(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('<').skip(1).collect();
    let last = parts.len().saturating_sub(1);
    let ids = parts.iter().enumerate().filter_map(|(index, part)| {
        let end = part.find('>').or((index == last).then_some(part.len()))?;
        part.get(..end)
    });
    kept(ids)
}

/// Leaves out what stands in parentheses outside of ids; `None` where nothing does.
fn without_comments(text: &str) -> Option<String> {
    let (mut plain, mut depth, mut is_in_id) = (String::new(), 0_u32, false);
    for character in text.chars() {
        match character {
            '(' if !is_in_id => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            is_in_id = character == '<' || is_in_id && character != '>';
            plain.push(character);
        }
    }
    (plain.len() < text.len()).then_some(plain)
}

/// Of too many ids the first stays, with which the thread began, and the last, which say whose answer it is (RFC 5322
/// §3.6.4).
fn kept<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let ids = ids.map(str::trim);
    let mut ids: Vec<&str> = ids
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
        .collect();
    if ids.len() > MAX_IDS {
        ids.drain(1..=ids.len() - MAX_IDS);
    }
    ids.into_iter()
        .map(|id| clean_line(format!("<{id}>")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_however_they_are_listed() {
        for (value, expected) in [
            ("<a@x> <b@x>", &["<a@x>", "<b@x>"][..]),
            ("<a@x>,<b@x>\r\n\t<c@x>", &["<a@x>", "<b@x>", "<c@x>"]),
            ("<a@x><b@x>", &["<a@x>", "<b@x>"]),
            ("Your message of \"Mon\" <a@x>", &["<a@x>"]),
            ("a@x", &["<a@x>"]),
            ("a@x, b@x", &["<a@x>", "<b@x>"]),
            ("<<a@x>>", &["<a@x>"]),
            ("<a@x", &["<a@x>"]),
            ("<a<b@x>", &["<b@x>"]),
            ("(was <c@x>) <a@x>", &["<a@x>"]),
            ("<a(b)@x> (c)", &["<a(b)@x>"]),
            ("(<a@x>)", &["<a@x>"]),
            ("<[a]@x>", &["<[a]@x>"]),
            (
                "=?utf-8?q?=3Ca=40x=3E?=\r\n =?utf-8?q?_=3Cb=40x=3E?=",
                &["<a@x>", "<b@x>"],
            ),
            ("<no-at-sign>", &["<no-at-sign>"]),
            ("<>", &[]),
            ("none", &[]),
        ] {
            assert_eq!(read(value.as_bytes()), expected, "{value}");
        }
        let many: Vec<String> = (0..200).map(|number| format!("<{number}@x>")).collect();
        let many = read(many.join(" ").as_bytes());
        assert_eq!(many.len(), MAX_IDS);
        assert_eq!(many.first().map(String::as_str), Some("<0@x>"));
        assert_eq!(many.last().map(String::as_str), Some("<199@x>"));
        assert!(read(format!("<{}@x>", "a".repeat(MAX_ID)).as_bytes()).is_empty());
    }
}
