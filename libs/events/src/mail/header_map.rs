use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};

struct HeaderMapVisitor;

impl<'de> Visitor<'de> for HeaderMapVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of header names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            match headers.entry(name) {
                Entry::Vacant(vacant) => vacant.insert(value),
                Entry::Occupied(_) => return Err(A::Error::custom("a header is given twice")),
            };
        }
        Ok(headers)
    }
}

/// Reads headers. Of a name that stands in the JSON twice serde would keep the last and lose the first.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_map(HeaderMapVisitor)
}

#[cfg(test)]
mod tests {
    use crate::mail::SendMail;
    use crate::{Headers, decode_command};

    #[test]
    fn value_that_is_no_text_is_named_by_its_header() {
        let body = br#"{"to":"a@b.c","headers":{"X-A":"1","X-B":2}}"#;

        let refused = decode_command::<SendMail>(&Headers::new(), body).unwrap_err();

        assert_eq!(refused.field(), "headers.X-B");
    }

    #[test]
    fn header_that_is_given_twice_is_refused() {
        let body = br#"{"to":"a@b.c","headers":{"X-A":"1","X-B":"2","X-A":"3"}}"#;

        let refused = decode_command::<SendMail>(&Headers::new(), body).unwrap_err();

        assert_eq!(refused.to_string(), "a header is given twice");
        assert!(refused.field().starts_with("headers"), "{refused:?}");
    }
}
