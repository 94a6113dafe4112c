/// Reads a structured field's value from its beginning to its end (RFC 5322 §3.2).
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
    /// One had no end; to look for that of each further one would take time by the square.
    has_unclosed_comment: bool,
    has_unclosed_quote: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self {
            rest: value,
            has_unclosed_comment: false,
            has_unclosed_quote: false,
        }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes so many octets, or what is left.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Takes octets up to the first that is in `ends`.
    pub(super) fn take_until(&mut self, ends: &[u8]) -> &'a [u8] {
        let end = self.rest.iter().position(|octet| ends.contains(octet));
        self.take(end.unwrap_or(self.rest.len()))
    }

    /// Takes what stands between the quotes; `None` where no quoted string begins, or one without an end.
    pub(super) fn quoted(&mut self) -> Option<&'a [u8]> {
        if self.has_unclosed_quote || self.peek() != Some(b'"') {
            return None;
        }
        let quoted = self.enclosed(|octet, depth| match octet {
            b'"' => 1 - depth,
            _ => depth,
        });
        self.has_unclosed_quote = quoted.is_none();
        quoted
    }

    /// Takes a comment with those inside; `None` where none begins, or one without an end.
    pub(super) fn comment(&mut self) -> Option<&'a [u8]> {
        if self.has_unclosed_comment || self.peek() != Some(b'(') {
            return None;
        }
        let comment = self.enclosed(|octet, depth| match octet {
            b'(' => depth + 1,
            b')' => depth.saturating_sub(1),
            _ => depth,
        });
        self.has_unclosed_comment = comment.is_none();
        comment
    }

    fn enclosed(&mut self, depth_after: impl Fn(u8, usize) -> usize) -> Option<&'a [u8]> {
        let mut depth = 0;
        let mut is_escaped = false;
        for (at, octet) in self.rest.iter().enumerate() {
            match octet {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                _ => depth = depth_after(*octet, depth),
            }
            if depth == 0 {
                return self.take(at + 1).get(1..at);
            }
        }
        None
    }

    /// Passes over white space, line ends and comments.
    pub(super) fn skip_blank(&mut self) {
        self.rest = self.rest.trim_ascii_start();
        while self.comment().is_some() {
            self.rest = self.rest.trim_ascii_start();
        }
    }

    /// Takes the first word of the value, without quotes: what follows it are remarks.
    pub(super) fn first_word(mut self) -> &'a [u8] {
        self.skip_blank();
        if self.peek() == Some(b'"') {
            self.take(1);
            self.skip_blank();
        }
        self.take_until(b" \t\r\n\"(;,")
    }
}
