/// Bytes per write.
pub(super) const BLOCK: usize = 64 * 1024;

/// Returns whether content can go out as it is: only CRLF line ends, no line that starts with a dot, CRLF at the end.
pub(super) fn is_wire_ready(raw: &[u8]) -> bool {
    raw.split_inclusive(|byte| *byte == b'\n').all(|line| {
        line.strip_suffix(b"\r\n")
            .is_some_and(|line| line.first() != Some(&b'.') && !line.contains(&b'\r'))
    })
}

/// Makes content ready for the wire block by block: every line end becomes CRLF, dots at line starts are doubled.
///
/// A bare CR or LF before a dot is how mail is smuggled past servers that end lines differently, so none survives.
#[derive(Debug)]
pub(super) struct DotStuffed<'a> {
    rest: &'a [u8],
    is_line_start: bool,
}

impl<'a> DotStuffed<'a> {
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self {
            rest: raw,
            is_line_start: true,
        }
    }

    /// Appends up to about [`BLOCK`] octets; returns whether more is left.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>) -> bool {
        while buffer.len() < BLOCK {
            match self.rest {
                [] => {
                    if !self.is_line_start {
                        buffer.extend_from_slice(b"\r\n");
                        self.is_line_start = true;
                    }
                    return false;
                }
                [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => {
                    buffer.extend_from_slice(b"\r\n");
                    self.rest = rest;
                    self.is_line_start = true;
                }
                [first, ..] => {
                    let room = BLOCK - buffer.len();
                    if self.is_line_start && *first == b'.' {
                        buffer.push(b'.');
                    }
                    let window = self.rest.get(..room).unwrap_or(self.rest);
                    let end = window
                        .iter()
                        .position(|byte| matches!(byte, b'\r' | b'\n'))
                        .unwrap_or(window.len());
                    let (text, rest) = self.rest.split_at(end);
                    buffer.extend_from_slice(text);
                    self.rest = rest;
                    self.is_line_start = false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(raw: &[u8]) -> Vec<u8> {
        let (mut whole, mut block) = (Vec::new(), Vec::new());
        let mut stuffed = DotStuffed::new(raw);
        loop {
            let is_more = stuffed.fill(&mut block);
            assert!(block.len() <= BLOCK + 2);
            whole.append(&mut block);
            if !is_more {
                return whole;
            }
        }
    }

    #[test]
    fn dots_are_doubled_and_line_ends_made_whole() {
        for (raw, expected) in [
            ("", ""),
            ("a\r\n", "a\r\n"),
            ("a", "a\r\n"),
            (".\r\n..a\r\nb.\r\n", "..\r\n...a\r\nb.\r\n"),
            ("a\n.\nb\r.\rc\r\n.", "a\r\n..\r\nb\r\n..\r\nc\r\n..\r\n"),
            ("\r\n\r\n", "\r\n\r\n"),
            ("a\r\r\n", "a\r\n\r\n"),
            ("x\n.\r\nMAIL FROM:<a>", "x\r\n..\r\nMAIL FROM:<a>\r\n"),
        ] {
            let wire = stuffed(raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(&wire), expected);
            assert_eq!(is_wire_ready(raw.as_bytes()), raw == expected, "{raw:?}");
            assert!(!format!("\r\n{expected}").contains("\r\n.\r\n"));
        }
    }

    #[test]
    fn long_lines_and_dots_at_block_ends_keep_their_place() {
        for extra in 0..4 {
            let mut raw = vec![b'x'; BLOCK - extra];
            raw.extend_from_slice(b"\r\n.end");
            raw.extend(vec![b'.'; 2 * BLOCK]);
            let mut expected = raw.clone();
            expected.insert(BLOCK - extra + 2, b'.');
            expected.extend_from_slice(b"\r\n");
            assert!(stuffed(&raw) == expected);
        }
    }
}
