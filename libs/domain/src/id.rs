use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::Clock;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(with = "String", extend("format" = "uuid"))] Uuid);

        impl $name {
            /// Makes a new id (UUIDv7) that sorts by the clock's moment.
            pub fn generate(clock: &dyn Clock) -> Self {
                Self(new_uuid(clock))
            }

            /// Wraps an id that was stored.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the id for storing.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// A mailbox used in one direction.
    AccountId,
    /// One OAuth client, as the administrator registered it.
    ClientConfigurationId,
    /// One consent: a client configuration and a subject.
    GrantId,
    /// One mail, received or sent.
    MailId,
    /// One event on the bus.
    EventId,
    /// One running process.
    ReplicaId,
    /// One key of the admin API.
    ApiKeyId,
    /// One sign-in under way.
    SignInId,
}

fn new_uuid(clock: &dyn Clock) -> Uuid {
    let now = clock.now();
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(
        ContextV7::new(),
        seconds,
        now.nanosecond(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn ids_of_one_clock_are_unique_and_parse_back() {
        let first = MailId::generate(&SystemClock);
        let second = MailId::generate(&SystemClock);

        assert_ne!(first, second);
        assert_eq!(first.to_string().parse::<MailId>().unwrap(), first);
    }
}
