/// Puts the configured prefix before subjects and stream names, and takes it off again.
#[derive(Debug, Clone)]
pub(crate) struct Prefix {
    /// With its closing dot, or empty.
    dotted: String,
    /// With its closing underscore, or empty.
    joined: String,
}

impl Prefix {
    pub(crate) fn new(prefix: &str) -> Self {
        if prefix.is_empty() {
            return Self {
                dotted: String::new(),
                joined: String::new(),
            };
        }
        Self {
            dotted: format!("{prefix}."),
            joined: format!("{prefix}_"),
        }
    }

    pub(crate) fn subject(&self, subject: &str) -> String {
        format!("{}{subject}", self.dotted)
    }

    pub(crate) fn stream(&self, name: &str) -> String {
        format!("{}{name}", self.joined)
    }

    pub(crate) fn strip<'a>(&self, subject: &'a str) -> &'a str {
        subject.strip_prefix(&self.dotted).unwrap_or(subject)
    }
}

/// Says whether `subject` names exactly one subject.
pub(crate) fn is_literal(subject: &str) -> bool {
    !subject.is_empty()
        && subject.split('.').all(|token| {
            !token.is_empty()
                && token != "*"
                && token != ">"
                && !token
                    .contains(|character: char| character.is_whitespace() || character.is_control())
        })
}

/// Says whether `filter`, which may hold wildcards, covers `subject`.
pub(crate) fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            // `>` of a filter that is looked for in another.
            ("*", Some(token)) if token != ">" => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Says whether `text` can stand as one token of a subject.
pub(crate) fn is_token(text: &str) -> bool {
    is_literal(text) && !text.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_added_and_taken_off() {
        let none = Prefix::new("");
        let some = Prefix::new("t17");

        assert_eq!(none.subject("mail.send"), "mail.send");
        assert_eq!(none.stream("EVENTS"), "EVENTS");
        assert_eq!(some.subject("mail.send"), "t17.mail.send");
        assert_eq!(some.stream("EVENTS"), "t17_EVENTS");
        assert_eq!(some.strip("t17.mail.send"), "mail.send");
        assert_eq!(none.strip("mail.send"), "mail.send");
    }

    #[test]
    fn filter_covers_as_the_server_has_it() {
        for (filter, subject, covers) in [
            ("mail.send", "mail.send", true),
            ("mail.send", "mail.send.a", false),
            ("mail.send.*", "mail.send.a", true),
            ("mail.send.*", "mail.send", false),
            ("mail.send.*", "mail.send.a.b", false),
            ("mail.>", "mail.send.a", true),
            ("mail.>", "mail", false),
            (">", "mail", true),
            ("mail.*.a", "mail.send.b", false),
        ] {
            assert_eq!(matches(filter, subject), covers, "{filter} {subject}");
        }
    }

    #[test]
    fn wildcards_and_spaces_are_no_literal_subjects() {
        for subject in ["mail.send", "mail.send.support", "a", "$JS.API"] {
            assert!(is_literal(subject), "{subject}");
        }
        for subject in ["", "mail.", ".mail", "mail.*", "mail.>", "ma il", "a\r\nb"] {
            assert!(!is_literal(subject), "{subject:?}");
        }
        assert!(is_token("support"));
        assert!(!is_token("a.b"));
    }
}
