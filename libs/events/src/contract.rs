use crate::message::Message;
use crate::{Command, Event, account, mail, token};

/// Lists the types of the contract once; names, subjects and schemas follow from it.
macro_rules! contract {
    (commands: $($command:ty),+; events: $($event:ty),+;) => {
        /// The names of all commands, each published on `<name>` or `<name>.<account>`.
        pub const COMMAND_NAMES: &[&str] = &[$(<$command as Command>::NAME),+];
        /// The names of all events, each stored in `EVENTS` on `<name>.<key>`.
        pub const EVENT_NAMES: &[&str] = &[$(<$event as Event>::NAME),+];

        /// Returns every message of the contract with its schema.
        pub fn messages() -> Vec<Message> {
            vec![
                $(Message::command::<$command>(),)+
                $(Message::event::<$event>(),)+
            ]
        }
    };
}

contract! {
    commands:
        mail::SendMail,
        mail::CancelMail;
    events:
        mail::MailReceived,
        mail::MailSent,
        mail::MailDeferred,
        mail::MailFailed,
        mail::MailUncertain,
        mail::MailRejected,
        mail::MailRepeated,
        mail::MailCancelled,
        mail::MailQuarantined,
        mail::MailboxReset,
        token::TokenRefreshed,
        token::TokenRefreshFailed,
        account::AccountAuthenticated,
        account::AccountChanged,
        account::AccountSignInRequired,
        account::AccountFailing,
        account::AccountRecovered,
        account::ClientRefused;
}
