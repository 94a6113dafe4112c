use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Where a mail stands in its folder, in the terms of the protocol that found it.
///
/// On the wire it is tagged by protocol, `{"imap": {"uid_validity": 1, "uid": 7}}`, so that a further protocol adds a tag
/// and no second version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// IMAP: comparable only under the same UIDVALIDITY (RFC 9051 §2.3.1.1).
    Imap {
        /// The folder's UIDVALIDITY. 32 bits by the RFC; there are servers that give more, or 0.
        uid_validity: u64,
        /// The mail's UID.
        uid: u32,
        /// How often the server went back to UIDs that it had given to other mails, under this same UIDVALIDITY.
        #[serde(default, skip_serializing_if = "is_zero")]
        restarts: u32,
    },
    /// POP3: the server's unique id, which may be used again once its mail is gone (RFC 1939 §7).
    Pop3 {
        /// The id by UIDL; absent where the server has none, so that only the content tells mails apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uidl: Option<String>,
    },
}

/// What makes the positions of one folder comparable: when it ends, all of them mean nothing.
///
/// A server may go back to UIDs that it had given before, as after a restore from a backup, and keep the UIDVALIDITY: that
/// ends the epoch too, so that it holds how often this happened beside what the server says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(String);

impl Epoch {
    /// The epoch of an IMAP folder.
    pub fn of_uid_validity(uid_validity: u64) -> Self {
        Self(uid_validity.to_string())
    }

    /// The epoch of an IMAP folder whose numbering went back so often.
    pub fn of_restarts(uid_validity: u64, restarts: u32) -> Self {
        match restarts {
            0 => Self::of_uid_validity(uid_validity),
            _ => Self(format!("{uid_validity}.{restarts}")),
        }
    }

    /// The epoch that follows if the server begins its numbering again and says nothing of it.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let next = self.restarts().saturating_add(1);
        Self(format!("{}.{next}", self.told()))
    }

    /// Returns how often the numbering went back under what the server tells.
    pub fn restarts(&self) -> u32 {
        let restarts = self.0.split_once('.').map(|(_, restarts)| restarts);
        restarts
            .and_then(|restarts| restarts.parse().ok())
            .unwrap_or_default()
    }

    /// Returns whether the server tells the same of both.
    pub fn is_told_alike(&self, other: &Self) -> bool {
        self.told() == other.told()
    }

    fn told(&self) -> &str {
        self.0
            .split_once('.')
            .map_or(self.0.as_str(), |(told, _)| told)
    }

    /// The epoch of a mailbox whose positions never end together.
    pub const fn endless() -> Self {
        Self(String::new())
    }

    /// An epoch that no server gives: the account was given another server or login, so that nothing stored means anything.
    pub fn void() -> Self {
        Self("void".to_owned())
    }

    /// Returns whether positions ended because the account's server or login changed, not because the server said so.
    pub fn is_void(&self) -> bool {
        self.0 == "void"
    }

    /// Wraps an epoch that was stored.
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the epoch for storing.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Position {
    /// The position of a mail in an IMAP folder whose numbering never went back.
    pub const fn imap(uid_validity: u64, uid: u32) -> Self {
        Self::Imap {
            uid_validity,
            uid,
            restarts: 0,
        }
    }

    /// Returns the epoch within which the position means this mail.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Imap {
                uid_validity,
                restarts,
                ..
            } => Epoch::of_restarts(*uid_validity, *restarts),
            Self::Pop3 { .. } => Epoch::endless(),
        }
    }

    /// Returns the position within its epoch, for storing; empty for a server that has none.
    pub fn within_epoch(&self) -> String {
        match self {
            Self::Imap { uid, .. } => uid.to_string(),
            Self::Pop3 { uidl } => uidl.clone().unwrap_or_default(),
        }
    }

    /// Returns the number by which the protocol orders mails within an epoch, if it does.
    pub fn ordinal(&self) -> Option<u64> {
        match self {
            Self::Imap { uid, .. } => Some(u64::from(*uid)),
            Self::Pop3 { .. } => None,
        }
    }

    /// Returns whether only its content tells the mail from others.
    pub fn is_nameless(&self) -> bool {
        matches!(self, Self::Pop3 { uidl: None })
    }

    /// Returns the bytes that stand for the position in a mail's id.
    pub fn identity(&self) -> Vec<u8> {
        match self {
            Self::Imap {
                uid_validity,
                uid,
                restarts,
            } => match (u32::try_from(*uid_validity), restarts) {
                // Events of earlier releases are read back: these bytes stay as they are.
                (Ok(uid_validity), 0) => [uid_validity.to_be_bytes(), uid.to_be_bytes()].concat(),
                _ => [
                    b"imap".as_slice(),
                    &uid_validity.to_be_bytes(),
                    &restarts.to_be_bytes(),
                    &uid.to_be_bytes(),
                ]
                .concat(),
            },
            Self::Pop3 { uidl } => {
                let uidl = uidl.as_deref().unwrap_or_default().as_bytes();
                let length = u64::try_from(uidl.len()).unwrap_or(u64::MAX);
                [b"pop3".as_slice(), &length.to_be_bytes(), uidl].concat()
            }
        }
    }

    /// Puts a stored position together; `None` if the protocol has no such position, as after an account was given
    /// another protocol.
    pub fn from_stored(protocol: Protocol, epoch: &Epoch, within: &str) -> Option<Self> {
        match protocol {
            Protocol::Imap => Some(Self::Imap {
                uid_validity: epoch.told().parse().ok()?,
                uid: within.parse().ok()?,
                restarts: epoch.restarts(),
            }),
            Protocol::Pop3 => Some(Self::Pop3 {
                uidl: (!within.is_empty()).then(|| within.to_owned()),
            }),
            Protocol::Smtp => None,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_positions_come_back_and_say_their_protocol_on_the_wire() {
        let imap = Position::imap(9, 7);
        let restarted = Position::Imap {
            uid_validity: 1_713_632_002_544,
            uid: 7,
            restarts: 2,
        };
        let pop3 = Position::Pop3 {
            uidl: Some("a/b".to_owned()),
        };
        let nameless = Position::Pop3 { uidl: None };
        assert!(nameless.is_nameless() && !imap.is_nameless() && !pop3.is_nameless());

        for (position, protocol, wire) in [
            (
                &imap,
                Protocol::Imap,
                r#"{"imap":{"uid_validity":9,"uid":7}}"#,
            ),
            (
                &restarted,
                Protocol::Imap,
                r#"{"imap":{"uid_validity":1713632002544,"uid":7,"restarts":2}}"#,
            ),
            (&pop3, Protocol::Pop3, r#"{"pop3":{"uidl":"a/b"}}"#),
            (&nameless, Protocol::Pop3, r#"{"pop3":{}}"#),
        ] {
            let stored =
                Position::from_stored(protocol, &position.epoch(), &position.within_epoch());
            assert_eq!(stored.as_ref(), Some(position));
            assert_eq!(serde_json::to_string(position).unwrap(), wire);
        }
        assert_eq!(
            Position::from_stored(Protocol::Imap, &pop3.epoch(), "a/b"),
            None
        );
    }

    #[test]
    fn numbering_that_went_back_is_another_epoch_of_which_the_server_tells_the_same() {
        let first = Epoch::of_uid_validity(9);
        let second = first.restarted();
        let third = second.restarted();

        assert_eq!(second, Epoch::of_restarts(9, 1));
        assert_eq!(third.as_str(), "9.2");
        assert!(first.is_told_alike(&third) && first != third);
        assert!(!first.is_told_alike(&Epoch::of_uid_validity(8)));
        assert_eq!((first.restarts(), third.restarts()), (0, 2));
    }

    #[test]
    fn void_epoch_is_no_servers() {
        let given = [Epoch::of_uid_validity(0), Epoch::endless()];

        assert!(Epoch::void().is_void() && !given.iter().any(Epoch::is_void));
        assert_eq!(
            Position::from_stored(Protocol::Imap, &Epoch::void(), "7"),
            None
        );
    }
}
