//! `listed_mails`: what was seen of mailboxes that are listed whole at each look, as POP3's.
//!
//! A look goes: [`note_listing`], [`find_unseen`], fetch those, [`adopt_known`] before any is published, [`record`] with the
//! received mails' rows, and once all were fetched [`finish_gone_post_actions`].

mod absence;
mod known;
mod listing;
mod overlap;
mod record;
mod unseen;

pub(crate) use absence::void;
pub use absence::{finish_gone_post_actions, forget_absent, note_listing};
pub use known::{FetchedEntry, adopt_known};
pub use listing::ListingEntry;
pub use overlap::{find_passed_over, has_known_position};
pub use record::{mark_existing, record};
pub use unseen::find_unseen;
