//! `mailbox_cursors`, `received_mails`, `quarantined_mails`: what was received, and how far.

mod cursor;
mod forget;
mod known;
mod post_action;
mod quarantine;
mod received;

pub use cursor::{
    Cursor, NewestMail, activate, backdate, finish_rescan, list_cursors, move_cursors, reset,
};
pub(crate) use forget::void_cursors;
pub use known::{
    FoundMail, adopt_renamed, had_content, has_failed, list_folders_of_epoch, renumber_known,
};
pub use post_action::{
    DuePostAction, demand_post_actions, finish_post_actions, forget_gone, list_post_actions,
    record_gone,
};
pub use quarantine::{
    MailFailures, UnreadMail, count_failure, find_quarantined, quarantine, rename_quarantined,
};
pub use received::{ReceivedMail, insert};
