//! Sign-ins in a browser, at the sandbox's provider, with real NATS and Postgres.

mod browser;
mod grant;
mod mix_up;
mod page;
mod patience;
mod refusal;
mod secret;
mod sign_in;
mod world;
