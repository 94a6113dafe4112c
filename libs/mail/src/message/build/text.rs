use super::super::draft::{BuildError, FieldProblem};

pub(super) fn text_part(path: &str, text: Option<&str>) -> Result<Option<String>, BuildError> {
    let Some(text) = text else { return Ok(None) };
    if text.contains('\0') {
        return Err(BuildError::new(path, FieldProblem::Nul));
    }
    // lettre turns line ends itself, but with one insertion each into the whole text, and leaves a bare CR.
    let mut text = crlf_lines(text);
    // It also ends every part with CRLF.
    if text.ends_with("\r\n") {
        text.truncate(text.len() - 2);
    }
    Ok(Some(text))
}

/// Turns CR, LF and CRLF into CRLF in one pass.
pub(super) fn crlf_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        let (line, tail) = rest.split_at(at);
        out.push_str(line);
        out.push_str("\r\n");
        rest = tail
            .strip_prefix("\r\n")
            .or_else(|| tail.strip_prefix(['\r', '\n']))
            .unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Does the same for octets in any character set.
pub(super) fn crlf_octets(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 32);
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let (line, tail) = rest.split_at(at);
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        rest = match tail {
            [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
            [] => tail,
        };
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use lettre::message::SinglePart;

    use super::*;

    #[test]
    fn every_line_end_becomes_crlf_where_lettre_leaves_a_bare_cr() {
        let text = "a\nb\rc\r\nd\n\r\n";

        let by_lettre = SinglePart::plain(text.to_owned());
        assert!(by_lettre.raw_body().windows(2).any(|pair| pair == b"\rc"));
        assert_eq!(crlf_lines(text), "a\r\nb\r\nc\r\nd\r\n\r\n");
        assert_eq!(crlf_octets(text.as_bytes()), crlf_lines(text).as_bytes());
    }
}
