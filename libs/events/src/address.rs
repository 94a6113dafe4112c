use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A mail address with the name shown beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MailAddress {
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address, such as `jane@example.com`.
    pub address: String,
}

/// One or many addresses: a string (`a@b.c` or `Name <a@b.c>`), an object, or an array of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Recipients(pub Vec<MailAddress>);

impl Recipients {
    /// Returns whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<MailAddress>> for Recipients {
    fn from(addresses: Vec<MailAddress>) -> Self {
        Self(addresses)
    }
}

/// Splits `Name <a@b.c>`; whether the address is well formed is judged where mail is built.
fn from_text(text: &str) -> MailAddress {
    let text = text.trim();
    if let Some((name, rest)) = text.rsplit_once('<')
        && let Some(address) = rest.strip_suffix('>')
    {
        let name = name.trim().trim_matches('"').trim();
        return MailAddress {
            name: (!name.is_empty()).then(|| name.to_owned()),
            address: address.trim().to_owned(),
        };
    }
    MailAddress {
        name: None,
        address: text.to_owned(),
    }
}

struct AddressVisitor;

impl<'de> Visitor<'de> for AddressVisitor {
    type Value = MailAddress;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an address: \"a@b.c\", \"Name <a@b.c>\" or {name, address}")
    }

    fn visit_str<E>(self, text: &str) -> Result<MailAddress, E> {
        Ok(from_text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MailAddress, A::Error> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(default)]
            name: Option<String>,
            address: String,
        }
        let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(MailAddress {
            name: fields.name,
            address: fields.address,
        })
    }
}

impl<'de> Deserialize<'de> for MailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct RecipientsVisitor;

impl<'de> Visitor<'de> for RecipientsVisitor {
    type Value = Recipients;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an address or an array of addresses")
    }

    fn visit_str<E>(self, text: &str) -> Result<Recipients, E> {
        Ok(Recipients(vec![from_text(text)]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Recipients, A::Error> {
        AddressVisitor
            .visit_map(map)
            .map(|address| Recipients(vec![address]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Recipients, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(sequence)).map(Recipients)
    }

    fn visit_unit<E>(self) -> Result<Recipients, E> {
        Ok(Recipients::default())
    }
}

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecipientsVisitor)
    }
}

/// The schema of a single address in a command.
pub(crate) fn one_address(generator: &mut SchemaGenerator) -> Schema {
    let address = generator.subschema_for::<MailAddress>();
    json_schema!({
        "anyOf": [{ "type": "string" }, address, { "type": "null" }]
    })
}

impl JsonSchema for Recipients {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Recipients".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<MailAddress>();
        json_schema!({
            "description": "One address or an array of them, each as text (`a@b.c`, `Name <a@b.c>`) or as an object.",
            "anyOf": [
                { "type": "string" },
                address,
                { "type": "array", "items": { "anyOf": [{ "type": "string" }, address] } }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Recipients, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn one_or_many_addresses_are_read_from_text_and_objects() {
        let plain = MailAddress {
            name: None,
            address: "a@b.c".into(),
        };
        let named = MailAddress {
            name: Some("A, B".into()),
            address: "a@b.c".into(),
        };

        assert_eq!(read(r#""a@b.c""#).unwrap().0, std::slice::from_ref(&plain));
        assert_eq!(
            read(r#""\"A, B\" <a@b.c>""#).unwrap().0,
            std::slice::from_ref(&named)
        );
        assert_eq!(
            read(r#"["a@b.c", {"name":"A, B","address":"a@b.c"}]"#)
                .unwrap()
                .0,
            [plain, named]
        );
    }

    #[test]
    fn other_shapes_are_refused() {
        for bad in ["1", "[1]", "{}", r#"{"address":1}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
