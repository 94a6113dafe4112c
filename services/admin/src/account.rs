//! What may be said of an account, and what comes of it.

mod credentials;
mod destination;
mod input;
mod server;
mod validate;
mod view;
mod watching;

pub(crate) use destination::check_destination;
pub(crate) use input::{Basis, Input};
pub(crate) use validate::settle;
pub(crate) use view::{View, load_views};
