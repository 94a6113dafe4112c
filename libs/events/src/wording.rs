//! Turns what serde, `serde_json`, uuid and time say of a value into the words of somebody who knows none of them.

const ID: &str = "an id (a UUID)";
const MOMENT: &str = "a time, such as 2026-01-31T12:00:00Z";
/// A value that is repeated is a word that was mistyped, or a text that nobody wants to read again.
const MOST_REPEATED: usize = 60;

/// Returns what the field must be. What is said in words already stays as it is.
pub(crate) fn in_words(message: &str) -> String {
    if message == "expected a string" {
        return "must be a text".to_owned();
    }
    if message.starts_with("UUID parsing failed") {
        return format!("must be {ID}");
    }
    if is_of_moment(message) {
        return format!("must be {MOMENT}");
    }
    if let Some(name) = message.strip_prefix("missing field `") {
        return format!("lacks {}", name.trim_end_matches('`'));
    }
    if let Some(words) = of_variant(message) {
        return words;
    }
    of_value(message).unwrap_or_else(|| message.to_owned())
}

/// time's own words, which name no value.
fn is_of_moment(message: &str) -> bool {
    message == "a character literal was not valid"
        || (message.starts_with("the '") && message.contains("' component could not be parsed"))
        || message.starts_with("unexpected trailing characters")
        || message == "unexpected end of input"
}

/// ``unknown variant `ssl`, expected one of `tls`, `starttls` ``, and ``expected `a` or `b` `` where there are two.
fn of_variant(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown variant `")?;
    let (found, known) = rest.rsplit_once("`, expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let (last, others) = known.split_last()?;
    let known = match others {
        [] => (*last).to_owned(),
        others => format!("{} or {last}", others.join(", ")),
    };
    Some(format!("must be {known}, not {}", repeated(found)))
}

/// ``invalid type: integer `5`, expected a string`` and its siblings.
fn of_value(message: &str) -> Option<String> {
    let types = message.strip_prefix("invalid type: ");
    let values = || message.strip_prefix("invalid value: ");
    let (found, expected) = types.or_else(values)?.rsplit_once(", expected ")?;
    let wanted = wanted(expected);
    let found = match found.split_whitespace().next().unwrap_or_default() {
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        "string" => "a text",
        "sequence" => "a list",
        "map" => "an object",
        "null" | "unit" => "null",
        _ => "something else",
    };
    if wanted.contains(found) {
        return Some(format!("must be {wanted}"));
    }
    Some(format!("must be {wanted}, not {found}"))
}

fn wanted(expected: &str) -> String {
    let words = match expected {
        "a string" | "str" | "string or map" => "a text",
        "a boolean" => "true or false",
        "i64" | "i32" | "u64" | "usize" => "a whole number",
        "u32" => "a whole number from 0 to 4294967295",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "a sequence" => "a list",
        "a map" => "an object",
        text if text.contains("UUID") => ID,
        text if text.contains("OffsetDateTime") => MOMENT,
        text if text.starts_with("struct ") => "an object",
        text => text,
    };
    words.to_owned()
}

fn repeated(found: &str) -> String {
    if found.len() <= MOST_REPEATED {
        return format!("{found:?}");
    }
    let start = found
        .get(..found.floor_char_boundary(MOST_REPEATED))
        .unwrap_or_default();
    format!("{:?}", format!("{start}…"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Two {
        Tls,
        Starttls,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its reader is asked")]
    struct Inner {
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its reader is asked")]
    struct All {
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        flag: Option<bool>,
        #[serde(default)]
        count: Option<u16>,
        #[serde(default)]
        list: Option<Vec<String>>,
        #[serde(default)]
        two: Option<Two>,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        id: Option<mailmesh_domain::MailId>,
        #[serde(default, with = "time::serde::rfc3339::option")]
        at: Option<time::OffsetDateTime>,
    }

    #[test]
    fn what_the_readers_say_is_told_in_words() {
        for (json, words) in [
            (r#"{"text": 5}"#, "must be a text, not a number"),
            (r#"{"text": ["a"]}"#, "must be a text, not a list"),
            (r#"{"flag": "yes"}"#, "must be true or false, not a text"),
            (
                r#"{"count": 70000}"#,
                "must be a whole number from 0 to 65535, not a number",
            ),
            (r#"{"list": {}}"#, "must be a list, not an object"),
            (r#"{"two": "ssl"}"#, "must be tls or starttls, not \"ssl\""),
            (r#"{"id": "x"}"#, "must be an id (a UUID)"),
            (r#"{"inner": {}}"#, "lacks name"),
            (
                r#"{"at": "tomorrow"}"#,
                "must be a time, such as 2026-01-31T12:00:00Z",
            ),
            (
                r#"{"at": 5}"#,
                "must be a time, such as 2026-01-31T12:00:00Z",
            ),
        ] {
            let Err(crate::DecodeError::Field { message, .. }) =
                crate::read_json::<All>(json.as_bytes())
            else {
                panic!("{json} is read")
            };
            assert!(message.starts_with(words), "{json}: {message}");
        }
    }

    #[test]
    fn a_number_where_a_word_is_wanted_is_told_with_the_words() {
        let Err(crate::DecodeError::Field { path, message }) =
            crate::read_json::<All>(br#"{"two": 5}"#)
        else {
            panic!("it is read")
        };
        assert_eq!(
            (path.as_str(), message.as_str()),
            ("two", "must be tls or starttls")
        );
    }

    #[test]
    fn a_long_value_is_repeated_up_to_a_bound() {
        let long = "ä".repeat(100);
        let message = format!("unknown variant `{long}`, expected one of `a`, `b`, `c`");

        let words = in_words(&message);

        assert_eq!(
            words,
            format!("must be a, b or c, not \"{}…\"", "ä".repeat(30))
        );
    }
}
