//! The JSON Schemas of all messages, as `schemas/` holds them.

use crate::asyncapi;
pub use crate::contract::messages;
pub use crate::message::{Message, Role};

/// Returns the files of `schemas/`: name and content.
///
/// # Errors
/// When a schema cannot be written as JSON.
pub fn files() -> Result<Vec<(String, String)>, serde_json::Error> {
    let messages = messages();
    let mut files = Vec::with_capacity(messages.len() + 1);
    for message in &messages {
        let text = serde_json::to_string_pretty(&message.schema)? + "\n";
        files.push((format!("{}.json", message.ce_type), text));
    }
    let document = serde_json::to_string_pretty(&asyncapi::document(&messages))? + "\n";
    files.push(("asyncapi.json".to_owned(), document));
    Ok(files)
}
