use std::fmt;

/// Text of a server, made safe to show: short, printable, and without words long enough to be tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerText(String);

const TEXT_CHARACTERS: usize = 200;
const WORD_CHARACTERS: usize = 48;

impl ServerText {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..TEXT_CHARACTERS * 4).unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        // Some servers echo the refused line, and that may have been AUTHENTICATE.
        let words = text
            .split(|character: char| character == ' ' || character.is_control())
            .map(|word| {
                if word.chars().count() > WORD_CHARACTERS {
                    "…"
                } else {
                    word
                }
            });
        let clean = words.collect::<Vec<_>>().join(" ");
        Self(shorten(clean.trim(), TEXT_CHARACTERS))
    }

    /// Masks a secret that the server echoes; one of less than four bytes would also mask parts of words.
    pub(crate) fn hide(&mut self, secret: &str) {
        if secret.len() >= 4 && self.0.contains(secret) {
            self.0 = self.0.replace(secret, "[hidden]");
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

pub(crate) fn shorten(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
