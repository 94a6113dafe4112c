use mailmesh_domain::Position;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Where a mail was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Origin {
    /// The folder's name.
    pub folder: String,
    /// Where the mail stands in it.
    pub position: Position,
}

/// The stream keeps events of before positions were tagged by protocol, and an account's next owner reads back those
/// that nobody recorded: it could not go on without them, or would announce their mails once more.
#[derive(Deserialize)]
struct Fields {
    folder: String,
    position: Option<Position>,
    uid_validity: Option<u64>,
    uid: Option<u32>,
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let position = match (fields.position, fields.uid_validity, fields.uid) {
            (Some(position), ..) => position,
            (None, Some(uid_validity), Some(uid)) => Position::imap(uid_validity, uid),
            _ => return Err(D::Error::missing_field("position")),
        };
        Ok(Self {
            folder: fields.folder,
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_of_before_tagged_positions_is_read() {
        let stored = r#"{"folder":"INBOX","uid_validity":1,"uid":7}"#;

        let origin: Origin = serde_json::from_str(stored).unwrap();

        assert_eq!(
            serde_json::to_string(&origin).unwrap(),
            r#"{"folder":"INBOX","position":{"imap":{"uid_validity":1,"uid":7}}}"#
        );
        assert_eq!(
            serde_json::from_str::<Origin>(&serde_json::to_string(&origin).unwrap()).unwrap(),
            origin
        );
    }

    #[test]
    fn origin_without_a_whole_position_is_refused() {
        for bad in [
            r#"{"folder":"INBOX"}"#,
            r#"{"folder":"INBOX","uid":7}"#,
            r#"{"folder":"INBOX","position":{"graph":{"id":"x"}}}"#,
        ] {
            assert!(serde_json::from_str::<Origin>(bad).is_err(), "{bad}");
        }
    }
}
