pub(crate) mod callback;
pub(crate) mod connect;
pub(crate) mod connected;
