use std::error::Error;
use std::fmt;

use crate::config::ConfigError;
use crate::listen::ListenError;

/// The exit codes of every mailmesh process.
pub mod code {
    /// Ended as it was asked to.
    pub const OK: u8 = 0;
    /// Failed while it ran.
    pub const FAILED: u8 = 1;
    /// The configuration is wrong (`EX_USAGE`).
    pub const CONFIG: u8 = 64;
    /// Something that it needs is not there (`EX_UNAVAILABLE`).
    pub const UNAVAILABLE: u8 = 69;
}

/// Marks an error as "something that we need is not there", so that the process exits with 69.
#[derive(Debug)]
pub struct Unavailable(anyhow::Error);

impl Unavailable {
    /// Marks the error.
    pub fn new(source: impl Into<anyhow::Error>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Returns the exit code for an error that ended a process, by what is in its chain.
pub fn exit_code_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<ConfigError>() {
            return code::CONFIG;
        }
        if cause.is::<Unavailable>() || cause.is::<ListenError>() {
            return code::UNAVAILABLE;
        }
    }
    code::FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_error_keeps_its_text_and_gives_69() {
        let cause = std::io::Error::other("refused");
        let error = anyhow::Error::from(Unavailable::new(cause)).context("cannot start");

        assert_eq!(format!("{error:#}"), "cannot start: refused");
        assert_eq!(exit_code_of(&error), code::UNAVAILABLE);
        assert_eq!(exit_code_of(&anyhow::anyhow!("else")), code::FAILED);
    }
}
