//! `listed_mails`: what was seen of mailboxes that are listed whole at each look, as POP3's.

mod absence;
mod listing;
mod record;
mod unseen;

pub use absence::{finish_gone_post_actions, forget_absent, note_listing};
pub use listing::ListingEntry;
pub use record::{SeenMail, mark_existing, record};
pub use unseen::find_unseen;
