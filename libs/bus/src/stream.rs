pub(crate) mod creation;
mod ensure;
mod error;
mod foreign;
pub(crate) mod kind;
mod watch;

pub use error::StreamError;
pub use foreign::ForeignStream;
pub use kind::StreamKind;
