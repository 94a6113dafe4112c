//! Mailbox names: modified UTF-7 (RFC 3501 §5.1.3) inside quoted strings.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const MUTF7: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Returns the name as a quoted string that holds printable ASCII only, whatever the name holds.
pub(super) fn quote_mailbox(name: &str) -> String {
    quote(&encode(name))
}

/// Returns printable ASCII as a quoted string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut pending: Vec<u8> = Vec::new();
    for character in name.chars() {
        if !matches!(character, ' '..='~') {
            let mut units = [0_u16; 2];
            for unit in character.encode_utf16(&mut units) {
                pending.extend_from_slice(&unit.to_be_bytes());
            }
            continue;
        }
        flush(&mut encoded, &mut pending);
        encoded.push(character);
        if character == '&' {
            encoded.push('-');
        }
    }
    flush(&mut encoded, &mut pending);
    encoded
}

fn flush(encoded: &mut String, pending: &mut Vec<u8>) {
    if !pending.is_empty() {
        encoded.push('&');
        encoded.push_str(&MUTF7.encode(&pending));
        encoded.push('-');
        pending.clear();
    }
}

/// Returns the name that modified UTF-7 spells; what is not modified UTF-7 is returned as it is.
pub(super) fn decode_mailbox(encoded: &str) -> String {
    decode(encoded).unwrap_or_else(|| encoded.to_owned())
}

fn decode(encoded: &str) -> Option<String> {
    let mut name = String::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let (base64, after) = shifted.split_once('-')?;
        rest = after;
        if base64.is_empty() {
            name.push('&');
            continue;
        }
        let bytes = MUTF7.decode(base64).ok()?;
        let (pairs, []) = bytes.as_chunks::<2>() else {
            return None;
        };
        let units: Vec<u16> = pairs.iter().copied().map(u16::from_be_bytes).collect();
        name.push_str(&String::from_utf16(&units).ok()?);
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_wire() {
        for (name, wire) in [
            ("INBOX", "\"INBOX\""),
            ("Entwürfe", "\"Entw&APw-rfe\""),
            (
                "~peter/mail/台北/日本語",
                "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\"",
            ),
            ("R&D", "\"R&-D\""),
            ("a \"b\" \\c", "\"a \\\"b\\\" \\\\c\""),
            ("📬", "\"&2D3c7A-\""),
        ] {
            assert_eq!(quote_mailbox(name), wire);
            assert_eq!(decode_mailbox(&encode(name)), name);
        }
    }

    #[test]
    fn a_name_cannot_smuggle_a_command() {
        let wire = quote_mailbox("x\"\r\nA9 DELETE y\0");

        assert!(wire.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(wire, "\"x\\\"&AA0ACg-A9 DELETE y&AAA-\"");
    }

    #[test]
    fn what_is_not_modified_utf7_is_kept() {
        for name in ["Entwürfe", "a & b", "&!!!-", "&AA-"] {
            assert_eq!(decode_mailbox(name), name);
        }
    }
}
