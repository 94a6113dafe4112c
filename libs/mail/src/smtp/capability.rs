use super::reply::Reply;

/// What a server can do, by its EHLO reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    extensions: Vec<Extension>,
    mechanisms: Vec<String>,
    size: Option<u64>,
    max_recipients: Option<u32>,
    max_mails: Option<u32>,
}

/// An extension that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Commands may be sent in groups (RFC 2920).
    Pipelining,
    /// Content may have 8-bit octets (RFC 6152).
    EightBitMime,
    /// Addresses may have UTF-8 (RFC 6531).
    SmtpUtf8,
    /// Content may be sent in chunks (RFC 3030).
    Chunking,
    /// Replies have enhanced codes (RFC 2034).
    EnhancedStatusCodes,
    /// TLS can be started (RFC 3207).
    StartTls,
}

impl Capabilities {
    /// Reads the reply to EHLO; its first line is the server's name.
    pub(super) fn read(reply: &Reply) -> Self {
        let mut capabilities = Self::default();
        for line in reply.text().lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else {
                continue;
            };
            let keyword = keyword.to_ascii_uppercase();
            capabilities.add(&keyword, words);
        }
        capabilities
    }

    fn add<'a>(&mut self, keyword: &'a str, mut words: impl Iterator<Item = &'a str>) {
        match keyword {
            "PIPELINING" => self.extensions.push(Extension::Pipelining),
            "8BITMIME" => self.extensions.push(Extension::EightBitMime),
            "SMTPUTF8" => self.extensions.push(Extension::SmtpUtf8),
            "CHUNKING" => self.extensions.push(Extension::Chunking),
            "ENHANCEDSTATUSCODES" => self.extensions.push(Extension::EnhancedStatusCodes),
            "STARTTLS" => self.extensions.push(Extension::StartTls),
            // Zero and an absent value both mean that no limit is announced (RFC 1870 §4).
            "SIZE" => {
                self.size = words
                    .next()
                    .and_then(|size| size.parse().ok())
                    .filter(|size| *size > 0);
            }
            "LIMITS" => {
                for (name, value) in words.filter_map(|word| word.split_once('=')) {
                    match name.to_ascii_uppercase().as_str() {
                        "RCPTMAX" => self.max_recipients = value.parse().ok(),
                        "MAILMAX" => self.max_mails = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            // `AUTH=` is an old form that some servers send beside the new one.
            _ => {
                if let Some(first) = keyword
                    .strip_prefix("AUTH")
                    .filter(|rest| rest.is_empty() || rest.starts_with('='))
                {
                    let first = first.trim_start_matches('=');
                    let names = std::iter::once(first)
                        .chain(words)
                        .filter(|name| !name.is_empty());
                    self.mechanisms.extend(names.map(str::to_ascii_uppercase));
                }
            }
        }
    }

    /// Returns whether the server has the extension.
    pub fn has(&self, extension: Extension) -> bool {
        self.extensions.contains(&extension)
    }

    /// Returns whether the server takes the SASL mechanism (named in capitals).
    pub fn has_mechanism(&self, mechanism: &str) -> bool {
        self.mechanisms.iter().any(|offered| offered == mechanism)
    }

    /// Returns the offered SASL mechanisms.
    pub fn mechanisms(&self) -> &[String] {
        &self.mechanisms
    }

    /// Returns the largest mail that the server takes, if it announces one.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the most recipients of one mail, if the server announces it (RFC 9422).
    pub const fn max_recipients(&self) -> Option<u32> {
        self.max_recipients
    }

    /// Returns the most mails on one connection, if the server announces it (RFC 9422).
    pub const fn max_mails(&self) -> Option<u32> {
        self.max_mails
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_mechanisms_and_limits_are_read() {
        let reply = Reply::parse(
            "250-smtp.gmail.com at your service\n250-SIZE 35882577\n250-8bitmime\n250-AUTH LOGIN PLAIN xoauth2\n\
             250-AUTH=OAUTHBEARER\n250-ENHANCEDSTATUSCODES\n250-PIPELINING\n250-AUTHOR x\n250-LIMITS RCPTMAX=20 MAILMAX=5 X=1\n250 SMTPUTF8",
        )
        .unwrap();

        let capabilities = Capabilities::read(&reply);

        assert_eq!(
            capabilities.mechanisms(),
            ["LOGIN", "PLAIN", "XOAUTH2", "OAUTHBEARER"]
        );
        assert!(
            capabilities.has(Extension::Pipelining) && capabilities.has(Extension::EightBitMime)
        );
        assert!(!capabilities.has(Extension::StartTls) && !capabilities.has(Extension::Chunking));
        assert_eq!(capabilities.size(), Some(35_882_577));
        assert_eq!(
            (capabilities.max_recipients(), capabilities.max_mails()),
            (Some(20), Some(5))
        );
    }

    #[test]
    fn a_size_of_zero_is_no_limit() {
        for line in ["SIZE 0", "SIZE", "SIZE x"] {
            let reply = Reply::parse(&format!("250-x\n250 {line}")).unwrap();
            assert_eq!(Capabilities::read(&reply).size(), None);
        }
    }
}
