/// Joins the lines of text that was wrapped with `format=flowed; delsp=yes` (RFC 3676 §4): the space at a line's end was
/// added for the wrapping alone, as in languages that have none between words.
pub(super) fn without_soft_breaks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // How deep the line is quoted that goes on with the next one.
    let mut open = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        let end = line.get(content.len()..).unwrap_or_default();
        let words = content.trim_start_matches('>');
        let (depth, quotes) = (
            content.len() - words.len(),
            content.get(..content.len() - words.len()),
        );
        // A space was put before lines that begin with one, with `>` or `From ` (§4.4).
        let words = words.strip_prefix(' ').unwrap_or(words);
        if open != Some(depth) {
            if open.is_some() {
                out.push('\n');
            }
            out.push_str(quotes.unwrap_or_default());
            if depth > 0 && !words.is_empty() {
                out.push(' ');
            }
        }
        let soft = words
            .strip_suffix(' ')
            .filter(|_| words != "-- " && !end.is_empty());
        out.push_str(soft.unwrap_or(words));
        open = soft.map(|_| depth);
        if soft.is_none() {
            out.push_str(end);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_breaks_are_undone_with_their_spaces() {
        for (text, expected) in [
            ("長い \r\n段落\r\n次\r\n", "長い段落\r\n次\r\n"),
            ("two  \r\nwords", "two words"),
            ("> a \r\n> b\r\nc", "> ab\r\nc"),
            ("> a \r\n>> b", "> a\n>> b"),
            ("-- \r\nAnn", "-- \r\nAnn"),
            (" From x \r\n >y", "From x>y"),
            ("end ", "end "),
        ] {
            assert_eq!(without_soft_breaks(text), expected, "{text}");
        }
    }
}
