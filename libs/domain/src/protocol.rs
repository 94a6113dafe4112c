//! All that the code besides `libs/mail` has to know of a protocol: a further one is a further row here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::{AfterReceive, Direction, Encryption, named};

named! {
    /// What the account's server speaks.
    Protocol as "protocol" {
        /// IMAP4rev1: reads a mailbox.
        Imap = "imap",
        /// POP3: reads the inbox of a mailbox.
        Pop3 = "pop3",
        /// SMTP submission: sends from a mailbox.
        Smtp = "smtp",
    }
}

impl Protocol {
    /// Returns the port that the protocol uses with this encryption (RFC 8314).
    pub const fn default_port(self, encryption: Encryption) -> u16 {
        match (self, encryption) {
            (Self::Imap, Encryption::Tls) => 993,
            (Self::Imap, Encryption::StartTls | Encryption::None) => 143,
            (Self::Pop3, Encryption::Tls) => 995,
            (Self::Pop3, Encryption::StartTls | Encryption::None) => 110,
            (Self::Smtp, Encryption::Tls) => 465,
            (Self::Smtp, Encryption::StartTls) => 587,
            (Self::Smtp, Encryption::None) => 25,
        }
    }

    /// Returns the encryption that a port stands for, as the other one does not work there; none for a port that is not one
    /// of the protocol's.
    pub fn encryption_at(self, port: u16) -> Option<Encryption> {
        let is_default = |encryption| self.default_port(encryption) == port;
        if is_default(Encryption::Tls) {
            return Some(Encryption::Tls);
        }
        let is_plain = is_default(Encryption::StartTls) || is_default(Encryption::None);
        is_plain.then_some(Encryption::StartTls)
    }

    /// Returns the direction of an account that names none: a protocol that has both needs it named.
    pub const fn usual_direction(self) -> Direction {
        match self {
            Self::Imap | Self::Pop3 => Direction::Inbound,
            Self::Smtp => Direction::Outbound,
        }
    }

    /// Returns whether the protocol moves mail in this direction.
    pub fn supports(self, direction: Direction) -> bool {
        self.usual_direction() == direction
    }

    /// Returns whether the protocol shows a mailbox's folders, that of sent mail among them, rather than its inbox alone.
    pub const fn has_folders(self) -> bool {
        match self {
            Self::Imap => true,
            Self::Pop3 | Self::Smtp => false,
        }
    }

    /// Returns what can become of a mail on the server once it is received.
    pub const fn post_actions(self) -> &'static [AfterReceive] {
        match self {
            Self::Imap => AfterReceive::ALL,
            // RFC 1939 knows no flags and no folders.
            Self::Pop3 => &[AfterReceive::Keep, AfterReceive::Delete],
            Self::Smtp => &[AfterReceive::Keep],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_tells_the_encryption_that_works_there() {
        for &protocol in Protocol::ALL {
            for &encryption in Encryption::ALL {
                let told = protocol.encryption_at(protocol.default_port(encryption));

                let is_tls = encryption == Encryption::Tls;
                assert_eq!(told == Some(Encryption::Tls), is_tls, "{protocol}");
                assert_eq!(told == Some(Encryption::StartTls), !is_tls, "{protocol}");
            }
            assert_eq!(protocol.encryption_at(1143), None);
        }
    }
}
