use std::net::IpAddr;

/// A host as RFC 1123 §2.1 writes it: a name of letters, digits and hyphens, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostName {
    Name(String),
    Address(IpAddr),
}

/// Neither a name nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host name or address alone, such as imap.example.com: letters, digits and hyphens, other alphabets as xn--"
)]
pub struct InvalidHost;

const MOST_OCTETS: usize = 253;
const MOST_LABEL_OCTETS: usize = 63;

impl HostName {
    /// Reads a host. An IPv6 address may stand in brackets.
    ///
    /// # Errors
    /// [`InvalidHost`], also for what resolvers take for an address though it is not written as one, such as `127.1`,
    /// `2130706433` or `0x7f.1`.
    pub fn try_new(text: &str) -> Result<Self, InvalidHost> {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(text).parse::<IpAddr>() {
            return if inner.is_some() && address.is_ipv4() {
                Err(InvalidHost)
            } else {
                Ok(Self::Address(address))
            };
        }
        let has_name = text.len() <= MOST_OCTETS && text.split('.').all(is_label);
        // RFC 3696 §2: no top-level domain is all digits; `inet_aton` reads such texts, and hexadecimal ones, as addresses.
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        if has_name && !is_number {
            return Ok(Self::Name(text.to_ascii_lowercase()));
        }
        Err(InvalidHost)
    }

    /// Returns whether it names this machine (RFC 6761 §6.3).
    pub fn is_local_name(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }
}

fn is_label(label: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty()
        && label.len() <= MOST_LABEL_OCTETS
        && label.bytes().all(is_inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
