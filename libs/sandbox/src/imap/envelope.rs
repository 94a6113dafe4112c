use bytes::BytesMut;

use super::header::find_value;
use crate::server::bytes::put;

/// Writes `ENVELOPE (…)`; groups and comments in addresses are not taken apart.
pub(super) fn put_envelope(output: &mut BytesMut, raw: &[u8]) {
    let from = find_value(raw, "From");
    put(output, format_args!("ENVELOPE ("));
    put_string(output, find_value(raw, "Date").as_deref());
    put(output, format_args!(" "));
    put_string(output, find_value(raw, "Subject").as_deref());
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"] {
        let value = find_value(raw, name);
        // RFC 3501 7.4.2: these two default to From.
        let value = match name {
            "Sender" | "Reply-To" => value.or_else(|| from.clone()),
            _ => value,
        };
        put(output, format_args!(" "));
        put_addresses(output, value.as_deref().unwrap_or_default());
    }
    for name in ["In-Reply-To", "Message-ID"] {
        put(output, format_args!(" "));
        put_string(output, find_value(raw, name).as_deref());
    }
    put(output, format_args!(")"));
}

fn put_string(output: &mut BytesMut, text: Option<&str>) {
    let Some(text) = text else {
        put(output, format_args!("NIL"));
        return;
    };
    let is_plain = text
        .bytes()
        .all(|byte| (b' '..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\'));
    if is_plain {
        put(output, format_args!("\"{text}\""));
    } else {
        put(output, format_args!("{{{}}}\r\n{text}", text.len()));
    }
}

fn put_addresses(output: &mut BytesMut, list: &str) {
    let addresses = split_addresses(list);
    if addresses.is_empty() {
        put(output, format_args!("NIL"));
        return;
    }
    put(output, format_args!("("));
    for text in addresses {
        let (name, address) = match text.rsplit_once('<') {
            Some((name, address)) => (name.trim().trim_matches('"'), address),
            None => ("", text),
        };
        let address = address.trim().trim_end_matches('>');
        let (local, host) = address.rsplit_once('@').unwrap_or((address, ""));
        put(output, format_args!("("));
        put_string(output, (!name.is_empty()).then_some(name));
        put(output, format_args!(" NIL "));
        put_string(output, Some(local));
        put(output, format_args!(" "));
        put_string(output, Some(host));
        put(output, format_args!(")"));
    }
    put(output, format_args!(")"));
}

fn split_addresses(list: &str) -> Vec<&str> {
    let mut is_quoted = false;
    list.split(|letter| {
        is_quoted ^= letter == '"';
        letter == ',' && !is_quoted
    })
    .map(str::trim)
    .filter(|address| !address.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_names_every_party() {
        let raw = b"From: \"Doe, J\" <j@a.b>\r\nTo: x@y.z, K <k@l.m>\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\n\r\n";
        let mut output = BytesMut::new();

        put_envelope(&mut output, raw);

        let from = "((\"Doe, J\" NIL \"j\" \"a.b\"))";
        let expected = format!(
            "ENVELOPE (NIL {{7}}\r\nGrüße {from} {from} {from} \
             ((NIL NIL \"x\" \"y.z\")(\"K\" NIL \"k\" \"l.m\")) NIL NIL NIL NIL)"
        );
        assert_eq!(String::from_utf8_lossy(&output), expected);
    }
}
