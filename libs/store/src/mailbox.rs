//! `mailbox_cursors`, `received_mails`, `quarantined_mails`: what was received, and how far.

mod cursor;
mod forget;
mod quarantine;
mod received;

pub use cursor::{Cursor, activate, finish_rescan, list_cursors, move_cursors, reset};
pub use forget::void_cursors;
pub use quarantine::{MailFailures, count_failure, quarantine};
pub use received::{
    DuePostAction, ReceivedMail, find, finish_post_actions, insert, list_post_actions,
    renumber_known,
};
