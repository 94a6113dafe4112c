/// Drops NUL, which neither Postgres nor many readers of JSON can hold, and other invisible control characters.
pub(super) fn clean(mut text: String) -> String {
    let is_invisible =
        |octet: u8| octet.is_ascii_control() && !matches!(octet, b'\t' | b'\r' | b'\n');
    // Without an early end the compiler looks at many octets at once; all invisible ones are ASCII.
    let has_invisible = text
        .bytes()
        .fold(false, |found, octet| found | is_invisible(octet));
    if has_invisible {
        text.retain(|character| !u8::try_from(character).is_ok_and(is_invisible));
    }
    text
}

/// Also drops line ends, which damaged or hostile fields can carry into values of one line.
pub(super) fn clean_line(text: String) -> String {
    let mut line = clean(text);
    line.retain(|character| !matches!(character, '\r' | '\n'));
    line
}

/// Cuts text to `limit` octets between characters and says whether it did.
pub(super) fn cut(text: &mut String, limit: usize) -> bool {
    let is_longer = text.len() > limit;
    text.truncate(text.floor_char_boundary(limit));
    is_longer
}

/// Cuts a file's name to `limit` octets; its extension stays, as readers open a file by it.
pub(super) fn cut_filename(name: &mut String, limit: usize) {
    const MAX_EXTENSION: usize = 32;
    if name.len() <= limit {
        return;
    }
    let extension = name.rfind('.').and_then(|dot| name.get(dot..));
    let extension = extension.filter(|extension| extension.len() <= MAX_EXTENSION.min(limit));
    let extension = extension.unwrap_or_default().to_owned();
    cut(name, limit - extension.len());
    name.push_str(&extension);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_file_names_keep_their_extension() {
        for (name, expected) in [
            ("short.pdf", "short.pdf"),
            ("a-long-name.pdf", "a-long.pdf"),
            ("äöüäöü.pdf", "äöü.pdf"),
            ("long.no-extension", "long.no-ex"),
            ("no-extension", "no-extensi"),
        ] {
            let mut cut = name.to_owned();
            cut_filename(&mut cut, 10);
            assert_eq!(cut, expected);
        }
    }
}
