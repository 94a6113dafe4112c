/// Takes the transparency of RFC 1939 §3 off a multi-line reply, wherever its bytes are cut.
///
/// Only CRLF ends a line here. A server that passes on mails with bare LF or CR would otherwise let a mail's author end
/// the mail early (`\n.\r\n`) and have the rest read as the server's replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Unstuffer {
    /// After CRLF, or before the first byte.
    #[default]
    LineStart,
    InLine,
    /// After a CR.
    Cr,
    /// After a dot that begins a line; it is not content.
    Dot,
    /// After such a dot and a CR, which is not yet known to be content.
    DotCr,
    /// After the line that is a dot alone.
    Ended,
}

impl Unstuffer {
    /// Moves content from `input` to `output`, up to `room` bytes or the end; returns how much of `input` was read.
    pub(super) fn read(&mut self, input: &[u8], output: &mut Vec<u8>, room: usize) -> usize {
        let start = output.len();
        let mut at = 0;
        // One step may give two bytes: the CR that was held back, and the next.
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let left = room.saturating_sub(output.len() - start);
            if left == 0 || *self == Self::Ended {
                break;
            }
            at += match self {
                Self::InLine => self.read_in_line(rest, output, left),
                _ => self.step(rest, output),
            };
        }
        at
    }

    pub(super) fn is_ended(self) -> bool {
        self == Self::Ended
    }

    fn read_in_line(&mut self, rest: &[u8], output: &mut Vec<u8>, left: usize) -> usize {
        let within = rest.get(..left).unwrap_or(rest);
        let taken = match within.iter().position(|byte| *byte == b'\r') {
            Some(at) => {
                *self = Self::Cr;
                at + 1
            }
            None => within.len(),
        };
        output.extend_from_slice(within.get(..taken).unwrap_or_default());
        taken
    }

    /// Returns how many bytes were read: one, or none when only a CR that had been held back was given.
    fn step(&mut self, rest: &[u8], output: &mut Vec<u8>) -> usize {
        let Some(byte) = rest.first().copied() else {
            return 0;
        };
        let next = match (*self, byte) {
            (Self::LineStart, b'.') => {
                *self = Self::Dot;
                return 1;
            }
            (Self::Dot, b'\r') => {
                *self = Self::DotCr;
                return 1;
            }
            (Self::DotCr, b'\n') => {
                *self = Self::Ended;
                return 1;
            }
            (Self::DotCr, _) => {
                output.push(b'\r');
                *self = Self::Cr;
                return 0;
            }
            (Self::Cr, b'\n') => Self::LineStart,
            (_, b'\r') => Self::Cr,
            _ => Self::InLine,
        };
        output.push(byte);
        *self = next;
        1
    }
}

#[cfg(test)]
mod tests;
