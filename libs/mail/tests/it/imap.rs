mod change;
mod fetch;
mod folder;
mod idle;
pub(crate) mod peer;
mod search;
mod sign_in;
mod size;
pub(crate) mod start_tls;
