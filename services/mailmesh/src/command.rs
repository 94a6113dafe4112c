//! The commands, one file each.

pub(crate) mod api_key;
pub(crate) mod credentials;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod healthcheck;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod nats_users;
pub(crate) mod provision;
pub(crate) mod reseal;
pub(crate) mod sandbox;
pub(crate) mod send;
pub(crate) mod service;
pub(crate) mod tail;
pub(crate) mod up;
