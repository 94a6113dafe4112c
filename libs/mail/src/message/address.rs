use std::borrow::Cow;

use lettre::Address;
use thiserror::Error;

use super::quoted::unescape;

/// A mail address with the name shown beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailbox {
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

/// Returns the address with its domain in ASCII (IDNA), or why it cannot be used.
pub(super) fn canonical_address(address: &str) -> Result<String, AddressProblem> {
    if address.chars().any(char::is_control) {
        return Err(AddressProblem::ControlCharacter);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(AddressProblem::Malformed)?;
    if !local.is_ascii() {
        return Err(AddressProblem::NonAsciiLocalPart);
    }
    if let Some(quoted) = local.strip_prefix('"') {
        quoted
            .strip_suffix('"')
            .and_then(unescape)
            .ok_or(AddressProblem::Malformed)?;
    }
    let local = quoted_if_needed(local);
    // lettre takes other than ASCII on both sides.
    let domain = ascii_domain(domain)?;
    // 254 octets: RFC 5321 bounds a path to 256, angle brackets included.
    let address =
        Address::new(local.as_ref(), domain.as_str()).map_err(|_| AddressProblem::Malformed)?;
    if address.as_ref() as &str != format!("{local}@{domain}") || local.len() + domain.len() > 253 {
        return Err(AddressProblem::Malformed);
    }
    Ok(address.to_string())
}

/// Some providers have given out addresses with dots at an end or in a row; SMTP takes them quoted (RFC 5321 §4.1.2).
fn quoted_if_needed(local: &str) -> Cow<'_, str> {
    let is_atext =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let has_lone_dot = local.split('.').any(str::is_empty);
    if has_lone_dot && !local.is_empty() && local.bytes().all(is_atext) {
        return Cow::Owned(format!("\"{local}\""));
    }
    Cow::Borrowed(local)
}

fn ascii_domain(domain: &str) -> Result<String, AddressProblem> {
    if domain.is_ascii() {
        return Ok(domain.to_owned());
    }
    match url::Host::parse(domain) {
        Ok(url::Host::Domain(ascii)) => Ok(ascii),
        _ => Err(AddressProblem::Malformed),
    }
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
            ("taro.@example.ne.jp", None, r#""taro."@example.ne.jp"#),
            (".a..b@example.ne.jp", None, r#"".a..b"@example.ne.jp"#),
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.name.as_deref(), name, "{text}");
            assert_eq!(mailbox.address, address, "{text}");
        }
    }

    #[test]
    fn addresses_of_rfc_5321_are_read_where_lettre_refuses_them() {
        for text in [r#""a b"@example.com"#, "a@[192.0.2.1]"] {
            assert!(text.parse::<lettre::message::Mailbox>().is_err());
            assert_eq!(Mailbox::parse(text).unwrap().address, text);
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
            "a@-b-.c",
        ] {
            assert_eq!(
                Mailbox::parse(text),
                Err(AddressProblem::Malformed),
                "{text}"
            );
        }
        let long = format!("a@{}.example", "b.".repeat(130));
        assert_eq!(Mailbox::parse(&long), Err(AddressProblem::Malformed));
        for text in ["a@b.c\r\nRCPT TO:<x@y.z>", "a\0@b.c", "J\n <a@b.c>"] {
            assert_eq!(
                Mailbox::parse(text),
                Err(AddressProblem::ControlCharacter),
                "{text}"
            );
        }
        assert_eq!(
            Mailbox::parse("zoë@b.c"),
            Err(AddressProblem::NonAsciiLocalPart)
        );
    }
}
