//! Validates accounts, and shows them.

mod credentials;
mod destination;
mod input;
mod server;
mod validate;
mod view;
mod watch_settings;

pub(crate) use destination::{HostContext, check_destination, check_login, trust_host};
pub(crate) use input::{AccountInput, MergeContext};
pub(crate) use validate::validate;
pub(crate) use view::{AccountView, hide_network_of_mail, load_views};
