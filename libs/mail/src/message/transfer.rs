//! Transfer encodings (RFC 2045 §6), and uuencode, as senders write them.

mod base64;
mod quoted_printable;
mod uuencode;

use super::scanner::Scanner;

pub(super) use self::quoted_printable::hex_value;

/// How a part's octets are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    #[default]
    Plain,
    Base64,
    QuotedPrintable,
    Uuencode,
}

impl TransferEncoding {
    /// Reads the value of a `Content-Transfer-Encoding`; what nobody knows is taken as it is.
    pub(super) fn named(value: &[u8]) -> Self {
        let word = Scanner::new(value).first_word();
        let name: Vec<u8> = word
            .iter()
            .filter(|octet| octet.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
            .collect();
        let name = name.strip_prefix(b"x").unwrap_or(&name);
        match name {
            b"base64" | b"b64" | b"base" => Self::Base64,
            b"quotedprintable" | b"quotedprintible" | b"quoted" | b"qp" => Self::QuotedPrintable,
            b"uuencode" | b"uuencoded" | b"uue" | b"uu" => Self::Uuencode,
            _ => Self::Plain,
        }
    }

    /// Decodes up to `limit` octets; what does not fit the encoding is skipped or taken as it is.
    pub(super) fn decode(self, body: &[u8], limit: usize) -> Vec<u8> {
        if self == Self::Plain {
            return body.get(..limit).unwrap_or(body).to_vec();
        }
        let mut out = Vec::with_capacity(body.len().min(limit));
        self.each(body, |octet| {
            out.push(octet);
            out.len() < limit
        });
        out
    }

    /// Returns the decoded size without holding what is decoded.
    pub(super) fn decoded_len(self, body: &[u8]) -> u64 {
        if self == Self::Plain {
            return body.len() as u64;
        }
        let mut count = 0_u64;
        self.each(body, |_| {
            count += 1;
            true
        });
        count
    }

    fn each(self, body: &[u8], mut push: impl FnMut(u8) -> bool) {
        match self {
            Self::Base64 if base64::is_likely(body) => base64::decode(body, push),
            Self::QuotedPrintable => quoted_printable::decode(body, push),
            Self::Uuencode if uuencode::is_likely(body) => uuencode::decode(body, push),
            _ => {
                let _ = body.iter().all(|octet| push(*octet));
            }
        }
    }
}

#[cfg(test)]
mod tests;
