use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::quoted::unescape;

/// An address has 254 octets at most, `@` and a domain among them.
const MAX_LOCAL_PART: usize = 252;
/// Four octets in UTF-8 may become one in ASCII.
const MAX_WRITTEN: usize = 4 * 254;

/// A mail address with the name shown beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedAddress {
    /// The display name.
    pub name: Option<String>,
    /// The address, such as `jane@example.com`.
    pub address: String,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressProblem {
    #[error("holds a line break or another control character")]
    ControlCharacter,
    /// It is not one address.
    #[error(
        "is not one mail address such as `a@b.c` or `Name <a@b.c>` (a name with punctuation needs quotes)"
    )]
    Malformed,
    /// Its part before the `@` needs SMTPUTF8, which is not supported.
    #[error("has other than ASCII characters before the `@`, which would need SMTPUTF8")]
    NonAsciiLocalPart,
}

/// Returns the address as SMTP takes it, or why it cannot be used: the domain in ASCII (IDNA), and a part before the `@`
/// in quotes whose dots would need them.
///
/// RFC 5321 §4.5.3.1.1 allows 64 octets before the `@`. Senders of notifications use more, so the server judges that.
pub(super) fn canonical_address(address: &str) -> Result<String, AddressProblem> {
    if address.chars().any(char::is_control) {
        return Err(AddressProblem::ControlCharacter);
    }
    // Before a domain is encoded, which takes time by the square of its length.
    if address.len() > MAX_WRITTEN {
        return Err(AddressProblem::Malformed);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(AddressProblem::Malformed)?;
    let local = canonical_local_part(local)?;
    let domain = canonical_domain(domain)?;
    // 254 octets: RFC 5321 bounds a path to 256, angle brackets included.
    if local.len() + domain.len() > 253 {
        return Err(AddressProblem::Malformed);
    }
    Ok(format!("{local}@{domain}"))
}

/// Reads a dot-string or quoted string (RFC 5321 §4.1.2), and dots at the ends or in a row, as addresses of some
/// telephone providers have them.
pub(super) fn canonical_local_part(local: &str) -> Result<String, AddressProblem> {
    if !local.is_ascii() {
        return Err(AddressProblem::NonAsciiLocalPart);
    }
    if local.is_empty() || local.len() > MAX_LOCAL_PART {
        return Err(AddressProblem::Malformed);
    }
    if let Some(quoted) = local.strip_prefix('"') {
        return quoted
            .strip_suffix('"')
            .and_then(unescape)
            .map(|_| local.to_owned())
            .ok_or(AddressProblem::Malformed);
    }
    if !local.bytes().all(|octet| octet == b'.' || is_atext(octet)) {
        return Err(AddressProblem::Malformed);
    }
    if local.split('.').any(str::is_empty) {
        return Ok(format!("\"{local}\""));
    }
    Ok(local.to_owned())
}

/// What atoms consist of (RFC 5322 §3.2.3).
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

fn canonical_domain(domain: &str) -> Result<String, AddressProblem> {
    if let Some(literal) = domain.strip_prefix('[') {
        let literal = literal.strip_suffix(']').filter(|text| is_ip(text));
        return literal
            .map(|_| domain.to_owned())
            .ok_or(AddressProblem::Malformed);
    }
    let ascii = if domain.is_ascii() {
        domain.to_owned()
    } else {
        match url::Host::parse(domain) {
            Ok(url::Host::Domain(ascii)) => ascii,
            _ => return Err(AddressProblem::Malformed),
        }
    };
    if ascii.split('.').all(is_label) {
        Ok(ascii)
    } else {
        Err(AddressProblem::Malformed)
    }
}

/// Reads an address literal (RFC 5321 §4.1.3) without its brackets.
fn is_ip(literal: &str) -> bool {
    match literal.split_at_checked(5) {
        Some((tag, ip)) if tag.eq_ignore_ascii_case("IPv6:") => ip.parse::<Ipv6Addr>().is_ok(),
        _ => literal.parse::<Ipv4Addr>().is_ok(),
    }
}

/// RFC 1035 §2.3.4. Some hosts have an underscore, which the DNS does not mind.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

/// Who a mail goes from and to in SMTP: checked ASCII addresses without names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    from: Option<String>,
    recipients: Vec<String>,
}

impl Envelope {
    /// Checks the addresses; `from` is `None` for the null reverse path.
    pub fn try_new<'a>(
        from: Option<&str>,
        recipients: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, AddressProblem> {
        let from = from.map(canonical_address).transpose()?;
        let recipients = recipients
            .into_iter()
            .map(canonical_address)
            .collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() {
            return Err(AddressProblem::Malformed);
        }
        Ok(Self { from, recipients })
    }

    /// Takes addresses that `canonical_address` returned.
    pub(super) fn from_canonical(from: String, recipients: Vec<String>) -> Self {
        Self {
            from: Some(from),
            recipients,
        }
    }

    /// Returns the reverse path, `None` for the null one.
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// Returns the recipients, at least one.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_with_or_without_name_is_read() {
        for (text, name, address) in [
            ("a@b.c", None, "a@b.c"),
            (
                " Jane Doe <jane@example.com> ",
                Some("Jane Doe"),
                "jane@example.com",
            ),
            (
                r#""Doe, J. \"JD\"" <j@example.com>"#,
                Some(r#"Doe, J. "JD""#),
                "j@example.com",
            ),
            ("<a@b.c>", None, "a@b.c"),
            (
                "Zoë <zoe@bücher.example>",
                Some("Zoë"),
                "zoe@xn--bcher-kva.example",
            ),
            (r#""a b"@example.com"#, None, r#""a b"@example.com"#),
            (r#""plain"@example.com"#, None, r#""plain"@example.com"#),
            ("taro.@example.ne.jp", None, r#""taro."@example.ne.jp"#),
            ("..a..b@example.ne.jp", None, r#""..a..b"@example.ne.jp"#),
            ("a@host_1.example", None, "a@host_1.example"),
            ("a@[IPv6:2001:db8::1]", None, "a@[IPv6:2001:db8::1]"),
            ("o'neil+x=y@b.c", None, "o'neil+x=y@b.c"),
        ] {
            let mailbox = NamedAddress::parse(text).unwrap();
            assert_eq!(mailbox.name.as_deref(), name, "{text}");
            assert_eq!(mailbox.address, address, "{text}");
        }
    }

    #[test]
    fn addresses_of_rfc_5321_are_read_where_lettre_refuses_them() {
        for text in [r#""a b"@example.com"#, "a@[192.0.2.1]"] {
            assert!(text.parse::<lettre::message::Mailbox>().is_err());
            assert_eq!(NamedAddress::parse(text).unwrap().address, text);
        }
    }

    #[test]
    fn everything_but_one_address_is_refused() {
        for text in [
            "",
            "a",
            "@",
            "a@",
            "@b.c",
            "a@b.c, d@e.f",
            "a@b.c d@e.f",
            "a@b.c, J <d@e.f>",
            "J <a@b.c> x",
            "J a@b.c>",
            "a b@c.d",
            r#""a"b"@c.d"#,
            "a@b c.d",
            "a@b.c>",
            "<<a@b.c>>",
            "J <a@b.c",
            "a@[b",
            "a@[::1]",
            "a@-b-.c",
            "a@b.c.",
            "a@b,c",
            "(a)b@c.d",
            "a@192.0.2.1]",
        ] {
            assert_eq!(
                NamedAddress::parse(text),
                Err(AddressProblem::Malformed),
                "{text}"
            );
        }
        let long = format!("a@{}.example", "b.".repeat(130));
        assert_eq!(NamedAddress::parse(&long), Err(AddressProblem::Malformed));
        let long = format!("{}@b.c", "a".repeat(251));
        assert_eq!(NamedAddress::parse(&long), Err(AddressProblem::Malformed));
        let long = format!("a@{}.example", "ü".repeat(1_000_000));
        assert_eq!(NamedAddress::parse(&long), Err(AddressProblem::Malformed));
        let notification = format!("reply+{}@b.c", "a".repeat(100));
        assert!(NamedAddress::parse(&notification).is_ok());
        for text in ["a@b.c\r\nRCPT TO:<x@y.z>", "a\0@b.c", "J\n <a@b.c>"] {
            assert_eq!(
                NamedAddress::parse(text),
                Err(AddressProblem::ControlCharacter),
                "{text}"
            );
        }
        assert_eq!(
            NamedAddress::parse("zoë@b.c"),
            Err(AddressProblem::NonAsciiLocalPart)
        );
    }
}
