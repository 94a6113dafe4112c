//! The AsyncAPI 3 document of the bus.

use serde_json::{Map, Value, json};

use crate::message::{Message, Role};

/// Returns the AsyncAPI document that describes `messages`.
pub fn document(messages: &[Message]) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for message in messages {
        let name = message.name;
        let channel = format!("#/channels/{name}");
        channels.insert(name.to_owned(), channel_of(message));
        // An operation is seen from mailmesh: it sends events and receives commands.
        let action = match message.role {
            Role::Event => "send",
            Role::Command => "receive",
        };
        operations.insert(
            name.to_owned(),
            json!({ "action": action, "channel": { "$ref": channel } }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "mailmesh",
            "version": "1",
            "description": "Send and receive mail through real mailboxes over NATS JetStream. Messages are CloudEvents 1.0; commands may also be bare JSON bodies.",
            "license": { "name": "Apache-2.0" }
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    })
}

fn channel_of(message: &Message) -> Value {
    let (stream, note) = match message.role {
        Role::Command => (
            "MAIL_SEND",
            "Publish here, or on the subject followed by a dot and the account's key.",
        ),
        Role::Event => (
            "EVENTS",
            "Stored on the subject followed by a dot and the key of the account, grant or client; republished on the bare subject.",
        ),
    };
    json!({
        "address": message.name,
        "description": note,
        "x-jetstream-stream": stream,
        "messages": {
            message.ce_type.clone(): {
                "name": message.ce_type,
                "contentType": "application/json",
                "payload": { "$ref": format!("./{}.json", message.ce_type) }
            }
        }
    })
}
