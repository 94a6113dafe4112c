/// Maximum bytes that a server may send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// A line, or the part of a response between two literals.
    pub(super) line: usize,
    /// One literal.
    pub(super) literal: usize,
    /// One response with its literals.
    pub(super) response: usize,
}

/// A response that exceeds what the server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A line goes on for too long.
    #[error("a line is longer than {limit} bytes")]
    LineTooLong { limit: usize },
    /// A literal was announced that is too large; nothing of it was read.
    #[error("a literal of {announced} bytes was announced, {limit} are allowed")]
    LiteralTooLarge { announced: u64, limit: usize },
    /// Lines and literals together are too large.
    #[error("a response is larger than {limit} bytes")]
    ResponseTooLarge { limit: usize },
}

/// Finds where a response ends, and fails before memory is given to one that is too large.
///
/// Literal bytes are skipped by count, so each byte of a line is looked at once and each byte of a
/// body never.
#[derive(Debug)]
pub(super) struct Guard {
    bounds: Bounds,
    /// Where to look on; beyond the buffer while a literal has not come completely.
    position: usize,
    line_start: usize,
}

impl Guard {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            position: 0,
            line_start: 0,
        }
    }

    /// Changes the bounds from the next call of [`Self::advance`] on.
    pub(super) const fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Returns the number of bytes that are certainly still to come.
    pub(super) const fn missing(&self, buffered: usize) -> usize {
        self.position.saturating_sub(buffered)
    }

    /// Returns the length of the response at the start of `buffer`, once it is complete.
    pub(super) fn advance(&mut self, buffer: &[u8]) -> Result<Option<usize>, GuardError> {
        while let Some(rest) = buffer.get(self.position..) {
            let Some(found) = rest.iter().position(|byte| *byte == b'\n') else {
                self.position = buffer.len();
                self.check_line(buffer.len())?;
                return Ok(None);
            };
            let end = self.position + found + 1;
            self.check_line(end)?;
            self.position = end;
            let line = buffer.get(self.line_start..end).unwrap_or_default();
            // There are servers that end lines with LF alone; inside literals, which are skipped by count, it ends nothing.
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let is_text = self.line_start == 0 && is_text_response(line);
            let Some(announced) = announced_literal(line).filter(|_| !is_text) else {
                self.position = 0;
                self.line_start = 0;
                return Ok(Some(end));
            };
            self.skip_literal(end, announced)?;
        }
        Ok(None)
    }

    /// Returns the length of what comes before the literal that was refused last; what follows that literal is looked at as
    /// a response of its own.
    pub(super) const fn pass_refused_literal(&mut self) -> usize {
        let end = self.position;
        self.position = 0;
        self.line_start = 0;
        end
    }

    fn check_line(&self, end: usize) -> Result<(), GuardError> {
        if end > self.bounds.response {
            let limit = self.bounds.response;
            return Err(GuardError::ResponseTooLarge { limit });
        }
        if end.saturating_sub(self.line_start) > self.bounds.line {
            let limit = self.bounds.line;
            return Err(GuardError::LineTooLong { limit });
        }
        Ok(())
    }

    fn skip_literal(&mut self, end: usize, announced: u64) -> Result<(), GuardError> {
        let count = usize::try_from(announced).unwrap_or(usize::MAX);
        if count > self.bounds.literal {
            return Err(GuardError::LiteralTooLarge {
                announced,
                limit: self.bounds.literal,
            });
        }
        let after = end.saturating_add(count);
        if after > self.bounds.response {
            let limit = self.bounds.response;
            return Err(GuardError::ResponseTooLarge { limit });
        }
        self.position = after;
        self.line_start = after;
        Ok(())
    }
}

/// Continuations and status responses end in free text, in which `{5}` announces nothing.
fn is_text_response(line: &[u8]) -> bool {
    if line.first() == Some(&b'+') {
        return true;
    }
    let word = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|status| word.eq_ignore_ascii_case(status))
}

/// Returns n of `{n}`, `{n+}` or `~{n}` at the end of a line; a number too large for us is still a number.
pub(super) fn announced_literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let digits = inner
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (head, number) = inner.split_at_checked(inner.len().checked_sub(digits)?)?;
    if digits == 0 || head.last() != Some(&b'{') {
        return None;
    }
    let value = number.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit.saturating_sub(b'0')))
    });
    Some(value)
}

#[cfg(test)]
mod tests;
