use std::error::Error;
use std::fmt;

/// An error with all its causes in one line, `what: why: why`, for people.
///
/// Our errors do not repeat their cause when they are printed, so each part stands there once.
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'a));

impl ErrorChain<'_> {
    /// Returns the line as the beginning of a sentence, for people.
    pub fn sentence(&self) -> String {
        let text = self.to_string();
        let mut characters = text.chars();
        match characters.next() {
            Some(first) => first.to_uppercase().chain(characters).collect(),
            None => text,
        }
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the mail was not sent")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the line is cut")]
    struct Inner;

    #[test]
    fn each_cause_is_printed_once() {
        let text = ErrorChain(&Outer(Inner)).to_string();

        assert_eq!(text, "the mail was not sent: the line is cut");
        assert_eq!(
            ErrorChain(&Outer(Inner)).sentence(),
            "The mail was not sent: the line is cut"
        );
    }
}
