//! The files in `schemas/` against the types.

use std::path::PathBuf;

use mailmesh_domain::Position;
use mailmesh_events::mail::{MailReceived, SendMail};
use mailmesh_events::schema::{self, Role};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas"))
}

#[test]
fn schema_files_are_what_the_types_say() {
    for (name, content) in schema::files().unwrap() {
        let stored = std::fs::read_to_string(folder().join(&name)).unwrap_or_default();
        assert_eq!(
            stored, content,
            "schemas/{name} is stale: cargo run -p mailmesh-events --example write-schemas"
        );
    }
}

#[test]
fn the_stream_takes_every_event_and_no_other() {
    let messages = schema::messages();
    let events = messages.iter().filter(|each| each.role == Role::Event);
    let names: Vec<&str> = events.map(|event| event.name).collect();

    assert_eq!(names, mailmesh_events::EVENT_NAMES);
}

#[test]
fn no_schema_file_is_left_over() {
    let known: Vec<String> = schema::files().unwrap().into_iter().map(|f| f.0).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let name = entry.file_name().into_string().unwrap();
            assert!(
                known.contains(&name),
                "schemas/{name} belongs to no message"
            );
        }
    }
}

#[test]
fn every_sample_fits_its_schema_and_decodes() {
    let samples = folder().join("samples");
    let mut seen = 0;
    for message in schema::messages() {
        let folder = samples.join(&message.ce_type);
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let validator = jsonschema::validator_for(message.schema.as_value()).unwrap();
        for entry in entries {
            let path = entry.unwrap().path();
            let text = std::fs::read(&path).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert!(validator.is_valid(&value), "{}", path.display());
            match message.name {
                "mail.received" => {
                    mailmesh_events::decode_event::<MailReceived>(&Vec::new(), &text).unwrap();
                }
                "mail.send" => {
                    mailmesh_events::decode_command::<SendMail>(&Vec::new(), &text).unwrap();
                }
                other => panic!("samples of {other} are not decoded by this test"),
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} samples were found");
}

#[test]
fn events_that_the_stream_still_holds_from_before_tagged_positions_decode() {
    let text = std::fs::read(folder().join("samples/stored/mail.received.v1.json")).unwrap();
    let event = mailmesh_events::decode_event::<MailReceived>(&Vec::new(), &text).unwrap();

    let position = Position::imap(1, 7);
    assert_eq!(event.data.origin.position, position);
}
