use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stored or sent name that no variant bears.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {name:?}")]
pub struct UnknownName {
    /// What was looked for.
    pub kind: &'static str,
    /// The name that was found.
    pub name: String,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident as $kind:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the name used on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownName { kind: $kind, name: text.to_owned() }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use named;

named! {
    /// Which way mail flows through an account.
    Direction as "direction" {
        /// Mail is fetched from the mailbox.
        Inbound = "inbound",
        /// Mail is sent from the mailbox.
        Outbound = "outbound",
    }
}

named! {
    /// How the connection to a mail server is protected.
    Encryption as "encryption" {
        /// TLS from the first byte.
        Tls = "tls",
        /// Plain greeting, then STARTTLS; never goes on without it.
        StartTls = "starttls",
        /// No protection: for servers on the same machine.
        None = "none",
    }
}

named! {
    /// How the account proves itself to the mail server.
    Authorisation as "authorisation" {
        /// An access token of the account's grant.
        OAuth2 = "oauth2",
        /// A password.
        Password = "password",
        /// No authentication.
        None = "none",
    }
}

named! {
    /// Whether the account can work, and who must act if not.
    AccountState as "account state" {
        /// Waits for its first sign-in.
        SignInNeeded = "sign_in_needed",
        /// Nothing has worked yet with its present settings. It is worked on as if it were active. Shown, and never stored.
        #[schemars(skip)]
        Unproved = "unproved",
        /// Works, as far as was seen.
        Active = "active",
        /// Was refused: the mailbox owner must sign in again.
        SignInRequired = "sign_in_required",
        /// Fails for another reason, named beside the state.
        Failing = "failing",
        /// Nobody can say: its service does not run or cannot use NATS or Postgres, or the server has long confirmed nothing.
        /// Shown, and never stored or published.
        #[schemars(skip)]
        Unknown = "unknown",
    }
}

named! {
    /// What becomes of a mail on the server after its event was confirmed.
    AfterReceive as "post-action" {
        /// Left as it is.
        Keep = "keep",
        /// Marked `\Seen`.
        MarkSeen = "mark_seen",
        /// Moved to another folder.
        Move = "move",
        /// Deleted.
        Delete = "delete",
    }
}
