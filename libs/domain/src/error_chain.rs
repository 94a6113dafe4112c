use std::error::Error;
use std::fmt;

/// An error with all its causes in one line, `what: why: why`, for people.
///
/// Each part stands there once. Our errors do not repeat their cause when they are printed; those of other libraries do, or say
/// the same in other words (`timed out: request timed out: deadline has elapsed`).
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
        formatter.write_str(&parts(self.0).join(": "))
    }
}

/// tokio's words for a time limit; whoever set the limit has said so before.
const TIME_LIMIT: &str = "deadline has elapsed";

fn parts(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    let mut parts: Vec<String> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let cause = texts.get(index + 1).map_or("", String::as_str);
        let own = without_cause(text, cause);
        let is_known = own == TIME_LIMIT || parts.iter().any(|part| has_words(part, own));
        if index > 0 && (own.is_empty() || is_known) {
            continue;
        }
        match parts.last_mut() {
            // `timed out`, then `request timed out`.
            Some(last) if has_words(own, last) => own.clone_into(last),
            _ => parts.push(own.to_owned()),
        }
    }
    parts
}

/// Removes the cause from the end of an error's text.
fn without_cause<'a>(text: &'a str, cause: &str) -> &'a str {
    let own = text.strip_suffix(cause).filter(|_| !cause.is_empty());
    own.and_then(|own| own.trim_end().strip_suffix(':'))
        .unwrap_or(text)
}

/// Returns whether the text has these words, whole.
fn has_words(text: &str, words: &str) -> bool {
    let is_inner = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(at, _)| {
        let (before, rest) = text.split_at(at);
        let after = rest.get(words.len()..).unwrap_or_default();
        !is_inner(before.chars().next_back()) && !is_inner(after.chars().next())
    })
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

    /// An error of another library: its text, and its cause.
    #[derive(Debug)]
    struct Foreign(&'static str, Option<Box<Foreign>>);

    impl fmt::Display for Foreign {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Foreign {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    #[test]
    fn what_another_library_repeats_is_printed_once() {
        for (texts, shown) in [
            (
                &[
                    "refused",
                    "authorization violation",
                    "nats: authorization violation",
                ][..],
                "refused: nats: authorization violation",
            ),
            (
                &[
                    "request error",
                    "timed out: request timed out: deadline has elapsed",
                    "request timed out: deadline has elapsed",
                    "deadline has elapsed",
                ],
                "request error: request timed out",
            ),
            (
                &["cannot read it: broken pipe", "broken pipe"],
                "cannot read it: broken pipe",
            ),
            (&["port 12 is in use", "1"], "port 12 is in use: 1"),
            (&["port 12 is in use", ""], "port 12 is in use"),
        ] {
            let chain = texts
                .iter()
                .rev()
                .fold(None, |cause, text| Some(Box::new(Foreign(text, cause))));

            assert_eq!(ErrorChain(&*chain.unwrap()).to_string(), shown);
        }
    }
}
