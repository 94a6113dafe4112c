mod change;
mod fetch;
mod folder;
mod idle;
mod peer;
mod search;
mod sign_in;
mod start_tls;
