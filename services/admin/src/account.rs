//! Validates accounts, and shows them.

mod credentials;
mod destination;
mod input;
mod server;
mod validate;
mod view;
mod watching;

pub(crate) use destination::{HostContext, check_destination, check_login, trust_host};
pub(crate) use input::{AccountContext, AccountInput};
pub(crate) use validate::validate;
pub(crate) use view::{AccountView, load_views};
