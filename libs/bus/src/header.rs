use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};

pub use mailmesh_events::Headers;

/// Names a header that the protocol cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {name:?} holds characters that NATS cannot carry")]
pub(crate) struct BadHeader {
    pub(crate) name: String,
}

pub(crate) fn to_map(headers: &[(String, String)]) -> Result<HeaderMap, BadHeader> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let bad = || BadHeader { name: name.clone() };
        let parsed_name = HeaderName::from_str(name).map_err(|_| bad())?;
        let parsed_value = HeaderValue::from_str(value).map_err(|_| bad())?;
        map.append(parsed_name, parsed_value);
    }
    Ok(map)
}

pub(crate) fn from_map(map: Option<&HeaderMap>) -> Headers {
    let Some(map) = map else { return Vec::new() };
    let each = map.iter().flat_map(|(name, values)| {
        let name = name.to_string();
        values
            .iter()
            .map(move |value| (name.clone(), value.as_str().to_owned()))
    });
    each.collect()
}

/// Reads a header block as it is on the wire: `NATS/1.0`, then a line for each header.
pub(crate) fn parse_block(block: &str) -> Headers {
    let lines = block.split("\r\n").skip(1);
    let each = lines.filter_map(|line| line.split_once(':'));
    each.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// Returns the value of the first header of that name, whatever its case.
pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Returns the value of the last header of that name, whatever its case.
pub(crate) fn find_last<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .rfind(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Makes `text` fit for a header value: one line, printable, at most `limit` bytes.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut line = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        if line.len() + character.len_utf8() > limit {
            break;
        }
        line.push(character);
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_map() {
        let headers = vec![
            ("ce-id".to_owned(), "1".to_owned()),
            ("ce-type".to_owned(), "mail.send.v1".to_owned()),
        ];

        let mut back = from_map(Some(&to_map(&headers).unwrap()));
        back.sort();

        assert_eq!(back, headers);
        assert_eq!(find(&back, "CE-Type"), Some("mail.send.v1"));
    }

    #[test]
    fn line_break_in_a_header_is_refused() {
        let headers = vec![("reason".to_owned(), "a\r\nNats-Rollup: all".to_owned())];

        assert_eq!(
            to_map(&headers),
            Err(BadHeader {
                name: "reason".to_owned()
            })
        );
    }

    #[test]
    fn reason_is_cut_between_characters() {
        assert_eq!(printable("a\r\nb", 80), "a  b");
        assert_eq!(printable("ääää", 5), "ää");
    }
}
