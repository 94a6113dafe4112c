use bytes::{Buf as _, Bytes, BytesMut};

use crate::server::bytes::find_byte;

/// Room reserved ahead for what the client said it would send; a lie costs no more than this.
const TRUSTED_SIZE: usize = 1_024 * 1_024;

/// A mail on its way in: dots unstuffed, sizes and line ends judged while it streams past.
pub(super) struct Content {
    mail: BytesMut,
    bytes: usize,
    limit: usize,
    keeps: bool,
    is_line_start: bool,
    has_bare_line_end: bool,
}

/// What became of a mail's bytes.
pub(super) enum ReceivedContent {
    Kept(Bytes),
    Counted(usize),
    TooLarge,
    BareLineEnd,
}

impl Content {
    pub(super) fn new(limit: usize, announced: usize, keeps: bool) -> Self {
        let room = if keeps {
            // The CRLF before the final dot and a rounding client are worth a few bytes more.
            announced.min(TRUSTED_SIZE) + 64
        } else {
            0
        };
        Self {
            mail: BytesMut::with_capacity(room),
            bytes: 0,
            limit,
            keeps,
            is_line_start: true,
            has_bare_line_end: false,
        }
    }

    /// Takes what it can from `input`; returns whether the final dot was reached.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> bool {
        loop {
            if self.is_line_start && input.first() == Some(&b'.') {
                match (input.get(1), input.get(2)) {
                    (Some(b'\r'), Some(b'\n')) => {
                        input.advance(3);
                        return true;
                    }
                    (None, _) | (Some(b'\r'), None) => return false,
                    _ => {
                        input.advance(1);
                        self.is_line_start = false;
                    }
                }
            }
            let Some(dot) = find_dot_line(input) else {
                // A CR at the end may be half of a line end: it waits for the rest.
                let held = usize::from(input.last() == Some(&b'\r'));
                let passed = input.len() - held;
                if passed > 0 {
                    self.is_line_start = input.get(..passed).is_some_and(ends_line);
                    self.keep(input, passed);
                }
                return false;
            };
            self.is_line_start = true;
            self.keep(input, dot);
        }
    }

    fn keep(&mut self, input: &mut BytesMut, length: usize) {
        let part = input.get(..length).unwrap_or_default();
        self.bytes += part.len();
        self.has_bare_line_end |= has_bare_line_end(part);
        if self.bytes > self.limit {
            self.mail = BytesMut::new();
        } else if self.keeps {
            self.mail.extend_from_slice(part);
        }
        input.advance(length);
    }

    pub(super) fn finish(self) -> ReceivedContent {
        if self.bytes > self.limit {
            ReceivedContent::TooLarge
        } else if self.has_bare_line_end {
            ReceivedContent::BareLineEnd
        } else if !self.keeps {
            ReceivedContent::Counted(self.bytes)
        } else if self.mail.capacity() > self.mail.len() + self.mail.len() / 4 {
            ReceivedContent::Kept(Bytes::copy_from_slice(&self.mail))
        } else {
            ReceivedContent::Kept(self.mail.freeze())
        }
    }
}

fn ends_line(part: &[u8]) -> bool {
    part.ends_with(b"\r\n")
}

/// Returns where the first dot stands that follows a line end.
fn find_dot_line(input: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let dot = from + find_byte(b'.', input.get(from..)?)?;
        if input.get(..dot).is_some_and(ends_line) {
            return Some(dot);
        }
        from = dot + 1;
    }
}

/// Returns whether CR and LF stand anywhere but in pairs; without branches, so that the compiler can widen it.
fn has_bare_line_end(part: &[u8]) -> bool {
    let is_split = part.first() == Some(&b'\n') || part.last() == Some(&b'\r');
    part.iter()
        .zip(part.iter().skip(1))
        .fold(is_split, |is_bare, (one, next)| {
            is_bare || ((*one == b'\r') != (*next == b'\n'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(text: &[u8], step: usize) -> (Option<Vec<u8>>, Vec<u8>) {
        let mut content = Content::new(1_000, 0, true);
        let mut input = BytesMut::new();
        let mut chunks = text.chunks(step);
        loop {
            if content.take(&mut input) {
                input.extend(chunks.flatten());
                break;
            }
            input.extend_from_slice(chunks.next().expect("a final dot"));
        }
        let kept = match content.finish() {
            ReceivedContent::Kept(raw) => Some(raw.to_vec()),
            _ => None,
        };
        (kept, input.to_vec())
    }

    #[test]
    fn dots_are_unstuffed_wherever_the_input_is_cut() {
        let text = b"..one\r\nt.wo\r\n...\r\n..\r\n.\r\r\n.x\r\n\r\n.\r\nQUIT\r\n";
        let plain = b"..one\r\nt.wo\r\n...\r\n..\r\n.x\r\n\r\n.\r\nQUIT\r\n";
        for step in 1..plain.len() {
            let (kept, rest) = receive(plain, step);

            assert_eq!(
                kept.as_deref(),
                Some(&b".one\r\nt.wo\r\n..\r\n.\r\nx\r\n\r\n"[..]),
                "{step}"
            );
            assert_eq!(rest, b"QUIT\r\n");
        }
        assert_eq!(receive(text, 7).0, None, "a bare CR is refused");
    }

    #[test]
    fn a_line_feed_alone_ends_no_line() {
        let (kept, rest) = receive(b"a\n.\r\nb\r\n.\r\n", 3);

        assert_eq!(kept, None);
        assert!(rest.is_empty());
    }

    #[test]
    fn a_mail_may_be_empty_and_must_not_be_too_large() {
        assert_eq!(receive(b".\r\n", 1).0, Some(Vec::new()));
        let large = [&[b'x'; 1_001][..], b"\r\n.\r\n"].concat();
        assert_eq!(receive(&large, 100).0, None);
    }
}
