use super::charset::{Charset, text};
use super::clean::clean_line;
use super::transfer::{TransferEncoding, hex_value};

/// RFC 2047 §2 allows 75 octets. Some writers put all of a value into one word.
const MAX_WORD: usize = 32 * 1024;

/// A piece of a header value in another character set (RFC 2047), such as `=?utf-8?q?Gr=C3=BC=C3=9Fe?=`.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedWord<'a> {
    charset: &'a str,
    encoding: TransferEncoding,
    text: &'a [u8],
    /// Its octets from `=?` to `?=`.
    pub(super) length: usize,
}

impl<'a> EncodedWord<'a> {
    /// Reads the word with which `bytes` begin.
    ///
    /// Gives up at the `=?` of the next word: whoever tries every `=?` of a value looks at none of its octets more than
    /// twice.
    pub(super) fn at_start(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.get(..MAX_WORD).unwrap_or(bytes);
        let rest = bytes.strip_prefix(b"=?")?;
        let end = rest.iter().position(|byte| !is_in_charset(*byte))?;
        let (charset, rest) = rest.split_at_checked(end)?;
        // Since RFC 2231 the language may follow.
        let charset = charset.split(|byte| *byte == b'*').next()?;
        let (encoding, rest) = match rest {
            [b'?', b'b' | b'B', b'?', rest @ ..] => (TransferEncoding::Base64, rest),
            [b'?', b'q' | b'Q', b'?', rest @ ..] => (TransferEncoding::QuotedPrintable, rest),
            _ => return None,
        };
        let text_bytes = text_end(rest, encoding)?;
        Some(Self {
            charset: std::str::from_utf8(charset).ok()?,
            encoding,
            text: rest.get(..text_bytes)?,
            length: bytes.len() - rest.len() + text_bytes + b"?=".len(),
        })
    }

    fn decode_into(&self, out: &mut Vec<u8>) {
        if self.encoding == TransferEncoding::Base64 {
            let letters: Vec<u8> = self
                .text
                .iter()
                .copied()
                .filter(|octet| !octet.is_ascii_whitespace())
                .collect();
            out.append(&mut self.encoding.decode(&letters, letters.len()));
            return;
        }
        let mut rest = self.text;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match (byte, tail) {
                (b'=', [high, low, after @ ..]) => match hex_value(*high).zip(hex_value(*low)) {
                    Some((high, low)) => {
                        rest = after;
                        out.push(high << 4 | low);
                    }
                    None => out.push(b'='),
                },
                (b'_', _) => out.push(b' '),
                (b'\r' | b'\n', _) => rest = tail.trim_ascii_start(),
                _ => out.push(*byte),
            }
        }
    }
}

/// What names of character sets and languages consist of; RFC 2047 forbids the dot, and some have one.
const fn is_in_charset(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'+' | b'\'' | b'*')
}

/// Returns where the text before `?=` ends; `None` if it has none. Spaces and folds are passed over, as some writers leave
/// them within words; a line end that is no fold ends the field.
fn text_end(bytes: &[u8], encoding: TransferEncoding) -> Option<usize> {
    let is_base64 = encoding == TransferEncoding::Base64;
    let mut at = 0;
    loop {
        at += match bytes.get(at..)? {
            [b'?', b'=', ..] => return Some(at),
            [b'\n', b' ' | b'\t', ..] => 2,
            [b'\n', ..] | [] => return None,
            // The next word begins within this one.
            [b'=', b'?', next, ..] if *next != b'=' => return None,
            [b'?', ..] if is_base64 => return None,
            [b'=', high, low, ..] if hex_value(*high).zip(hex_value(*low)).is_some() => 3,
            // An octet that does not fit the encoding costs itself alone.
            [_, ..] => 1,
        };
    }
}

/// Decodes the encoded words of a header value and undoes its folding.
///
/// Words that are damaged stay as they are; those in an unknown character set are read as other text in one is.
pub(super) fn header_text(value: &[u8]) -> String {
    let value = value.trim_ascii();
    let is_plain = value.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && !value.windows(2).any(|pair| pair == b"=?");
    if is_plain {
        return String::from_utf8_lossy(value).into_owned();
    }
    let mut out = Pieces::default();
    let mut rest = value;
    while !rest.is_empty() {
        let word = EncodedWord::at_start(rest);
        let length = if let Some(word) = word {
            out.add_word(&word);
            word.length
        } else {
            let length = 1 + next_start(rest);
            out.add_plain(rest.get(..length).unwrap_or(rest));
            length
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out.finish()
}

/// `UTF8` and `utf-8` may stand in the two halves of a character.
fn is_same_label(left: &str, right: &str) -> bool {
    let plain = |label: &'_ str| {
        let octets = label.bytes().filter(u8::is_ascii_alphanumeric);
        octets
            .map(|octet| octet.to_ascii_lowercase())
            .collect::<Vec<u8>>()
    };
    left == right || plain(left) == plain(right)
}

/// Returns how many octets lie between the first one and the next `=?`.
fn next_start(bytes: &[u8]) -> usize {
    let tail = bytes.get(1..).unwrap_or_default();
    tail.windows(2)
        .position(|pair| pair == b"=?")
        .unwrap_or(tail.len())
}

/// A value while it is put together.
#[derive(Debug, Default)]
struct Pieces<'a> {
    text: String,
    /// Words that follow each other are one text: some writers split characters between them.
    charset: Option<&'a str>,
    encoded: Vec<u8>,
    /// What stands behind the words.
    plain: Vec<u8>,
}

impl<'a> Pieces<'a> {
    fn add_plain(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
    }

    fn add_word(&mut self, word: &EncodedWord<'a>) {
        match self.charset {
            // White space between two words is not part of the text.
            Some(_) if self.plain.trim_ascii().is_empty() => self.plain.clear(),
            _ => {
                self.flush_words();
                self.flush_plain();
            }
        }
        let is_same = self
            .charset
            .is_some_and(|charset| is_same_label(charset, word.charset));
        // A word in UTF-7 may end within a run of Base64, which the next one would go on with.
        if !is_same || matches!(Charset::named(word.charset), Some(Charset::Utf7)) {
            self.flush_words();
        }
        self.charset = Some(word.charset);
        word.decode_into(&mut self.encoded);
    }

    fn flush_words(&mut self) {
        if let Some(charset) = self.charset.take() {
            // An encoded line end must not become one of the value, nor the mark of each word in UTF-16 a character.
            let mut words = clean_line(text(&self.encoded, Some(charset)));
            words.retain(|character| character != '\u{feff}');
            self.text.push_str(&words);
            self.encoded.clear();
        }
    }

    fn flush_plain(&mut self) {
        for (index, line) in self.plain.split(|byte| *byte == b'\n').enumerate() {
            let line = if index == 0 {
                line
            } else {
                line.trim_ascii_start()
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if index > 0 {
                self.text.truncate(self.text.trim_ascii_end().len());
                self.text.push(' ');
            }
            self.text.push_str(&text(line, None));
        }
        self.plain.clear();
    }

    fn finish(mut self) -> String {
        self.flush_words();
        self.flush_plain();
        clean_line(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded_joined_and_unfolded() {
        for (value, expected) in [
            (" =?utf-8?q?=C3=A4=00?=\r\n b\r\n", "ä b"),
            ("Re: =?iso-8859-1?Q?Gr=FC=DFe?=!", "Re: Grüße!"),
            ("a\r\n\t b  c\r\n d", "a b  c d"),
            // A character that was split between two words.
            ("=?utf-8?b?w6TD?=\r\n =?UTF-8?B?pA==?=", "ää"),
            ("=?utf-8?b?w6TD?= =?utf8?q?=A4?=", "ää"),
            ("=?utf-8?q?a?= =?iso-8859-1*de?q?=E4_b?=", "aä b"),
            ("=?us-ascii?q?a?= b =?us-ascii?q?c?=", "a b c"),
            ("=?gb2312?B?xOO6ww==?=", "你好"),
            ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
            ("=?utf-8?q?Really??=", "Really?"),
            ("=?utf-8?q?two words\r\n  folded?=", "two wordsfolded"),
            ("=?utf-8?q?a=0D=0ABcc:_b@c.d?=", "aBcc: b@c.d"),
            ("=?utf-8?q??=x", "x"),
            // Each word of these begins anew, and some writers go on within a character all the same.
            (
                "=?iso-2022-jp?B?GyRCJUYbKEI=?=\r\n =?ISO-2022-JP?B?GyRCJTkbKEI=?=",
                "テス",
            ),
            (
                "=?iso-2022-jp?B?GyRCJUY=?= =?iso-2022-jp?B?JTkbKEI=?=",
                "テス",
            ),
            (
                "=?iso-2022-kr?B?GyQpQw4+SA8=?= =?iso-2022-kr?B?GyQpQw4zZw8=?=",
                "안녕",
            ),
            ("=?hz-gb-2312?Q?~{VP~}?= =?hz-gb-2312?Q?~{ND~}?=", "中文"),
            ("=?utf-7?q?+AOQ?= =?utf-7?q?b?=", "äb"),
            ("=?utf-16?b?/v8AZA==?= =?utf-16?b?/v8A5A==?=", "dä"),
            ("=?no-such-set?q?a_b?=", "a b"),
            ("=?unknown-8bit?q?J=FCrgen?=", "Jürgen"),
            ("=?x-unheard?q?J=C3=BCrgen?=", "Jürgen"),
            ("=?NONE?B?VEVTVA=?=", "TEST"),
            ("=??q?a?=", "a"),
            ("=?utf-8?q?a=ZZ?=", "a=ZZ"),
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe=?=", "Grüße="),
            ("=?utf-8?b?R3LDv!MOfZQ==?=", "Grüße"),
            ("=?utf-8?b?R3LDvMOfZS BhdXM=?=", "Grüße aus"),
            ("gr\u{fc}n", "grün"),
        ] {
            assert_eq!(header_text(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(header_text(b"gr\xfcn"), "grün");
        assert_eq!(header_text(b"=?iso-8859-1?Q?Gr\xfc\xdfe?="), "Grüße");
        assert_eq!(
            header_text(b"=?iso-8859-1?Q?Gr\xc3\xbc\xc3\x9fe?="),
            "Grüße"
        );
    }

    #[test]
    fn what_is_no_word_stays_as_it_is() {
        for value in [
            "=?utf-8?q?broken",
            "=?utf-8?x?a?=",
            "=?=?=?",
            "=?a b?q?c?=",
            "=?utf-8?q?a=",
        ] {
            assert_eq!(header_text(value.as_bytes()), value);
        }
        let longest = format!("=?utf-8?q?{}?=", "x".repeat(MAX_WORD - 12));
        assert_eq!(header_text(longest.as_bytes()).len(), MAX_WORD - 12);
        let longer = longest.replace("?=", "x?=");
        assert_eq!(header_text(longer.as_bytes()), longer);
    }
}
