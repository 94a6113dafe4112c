use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A mail address with the name shown beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailAddress {
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address, such as `jane@example.com`.
    pub address: String,
}

/// Addresses as a command gives them. Text is read where mail is built, by the one reader of address lists; here it stays
/// as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AddressInput {
    /// One or more addresses: `a@b.c`, `Name <a@b.c>`, `a@b.c, Name <d@e.f>`.
    Text(String),
    /// One address with its name beside it.
    Mailbox(MailAddress),
}

/// Addresses: a string, an object, or an array of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Recipients(pub Vec<AddressInput>);

impl Recipients {
    /// Returns whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<MailAddress>> for Recipients {
    fn from(addresses: Vec<MailAddress>) -> Self {
        Self(addresses.into_iter().map(AddressInput::Mailbox).collect())
    }
}

struct AddressVisitor;

impl<'de> Visitor<'de> for AddressVisitor {
    type Value = AddressInput;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an address: \"a@b.c\", \"Name <a@b.c>\" or {name, address}")
    }

    fn visit_str<E>(self, text: &str) -> Result<AddressInput, E> {
        Ok(AddressInput::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AddressInput, A::Error> {
        MailAddress::deserialize(MapAccessDeserializer::new(map)).map(AddressInput::Mailbox)
    }
}

impl<'de> Deserialize<'de> for AddressInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct RecipientsVisitor;

impl<'de> Visitor<'de> for RecipientsVisitor {
    type Value = Recipients;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("addresses as text, as an object or as an array of both")
    }

    fn visit_str<E>(self, text: &str) -> Result<Recipients, E> {
        Ok(Recipients(vec![AddressInput::Text(text.to_owned())]))
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
            "description": "Addresses as text, as an object, or as an array of both. Text is an address list of RFC 5322 (`a@b.c`, `Name <a@b.c>`, `\"Doe, J.\" <a@b.c>; d@e.f`): all of it is read, or the mail is rejected.",
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
        let text = |text: &str| AddressInput::Text(text.into());
        let named = AddressInput::Mailbox(MailAddress {
            name: Some("A, B".into()),
            address: "a@b.c".into(),
        });

        assert_eq!(read(r#""a@b.c""#).unwrap().0, [text("a@b.c")]);
        assert_eq!(
            read(r#""\"A, B\" <a@b.c>, d@e.f""#).unwrap().0,
            [text("\"A, B\" <a@b.c>, d@e.f")]
        );
        assert_eq!(
            read(r#"["a@b.c", {"name":"A, B","address":"a@b.c"}]"#)
                .unwrap()
                .0,
            [text("a@b.c"), named]
        );
    }

    #[test]
    fn other_shapes_are_refused() {
        for bad in ["1", "[1]", "{}", r#"{"address":1}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
