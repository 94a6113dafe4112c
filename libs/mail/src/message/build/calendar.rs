use lettre::message::SinglePart;
use lettre::message::header::ContentType;

use super::super::draft::{BuildError, DraftCalendar, FieldProblem};
use super::attachment::base64_body;
use super::text::{crlf_lines, text_part};

/// RFC 5546 §1.4.
const METHODS: [&str; 8] = [
    "PUBLISH",
    "REQUEST",
    "REPLY",
    "ADD",
    "CANCEL",
    "REFRESH",
    "COUNTER",
    "DECLINECOUNTER",
];

/// Makes the part that calendar programs act on (RFC 6047 §2.4). They take it from among the alternatives of the text; an
/// attached file is shown as a file.
pub(super) fn calendar_part(calendar: &DraftCalendar) -> Result<SinglePart, BuildError> {
    let wrong = |field: &str, problem| BuildError::new(format!("calendar.{field}"), problem);
    let method = calendar.method.trim().to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        return Err(wrong("method", FieldProblem::InvalidMethod));
    }
    let content = text_part("calendar.content", Some(&calendar.content))?.unwrap_or_default();
    let content = content.trim_start_matches('\u{feff}').trim();
    let begins = content.get(..BEGIN.len()).unwrap_or_default();
    let ends = content.lines().next_back().unwrap_or_default();
    if !begins.eq_ignore_ascii_case(BEGIN) || !ends.trim().eq_ignore_ascii_case(END) {
        return Err(wrong("content", FieldProblem::InvalidCalendar));
    }
    // RFC 6047 §2.4: both are the same, and readers differ in which of them they believe.
    if !method_of(content).is_some_and(|stated| stated.eq_ignore_ascii_case(&method)) {
        return Err(wrong("method", FieldProblem::OtherMethod));
    }
    let content_type = format!("text/calendar; method={method}; charset=utf-8");
    let content_type = ContentType::parse(&content_type)
        .map_err(|_| wrong("method", FieldProblem::InvalidMethod))?;
    // Base64, since some servers on the way wrap or trim lines, which changes a folded line of a calendar.
    let content = crlf_lines(content) + "\r\n";
    Ok(SinglePart::builder()
        .header(content_type)
        .body(base64_body(content.as_bytes())))
}

const BEGIN: &str = "BEGIN:VCALENDAR";
const END: &str = "END:VCALENDAR";

/// Folded lines begin with white space (RFC 5545 §3.1), so that no text of an event is taken for the property.
fn method_of(content: &str) -> Option<&str> {
    content.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.split(';').next().unwrap_or_default();
        name.eq_ignore_ascii_case("METHOD").then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITATION: &str = "BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:Lünch\n\
                              DESCRIPTION:x\n METHOD:CANCEL\nEND:VEVENT\nEND:VCALENDAR\n";

    fn calendar(method: &str, content: &str) -> DraftCalendar {
        DraftCalendar {
            method: method.into(),
            content: content.into(),
        }
    }

    #[test]
    fn method_stands_in_the_type_of_the_part() {
        let part = calendar_part(&calendar("request", INVITATION)).unwrap();

        let headers = part.headers().to_string();
        assert!(
            headers.contains("Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n"),
            "{headers}"
        );
        assert!(
            part.raw_body()
                .starts_with(b"QkVHSU46VkNBTEVOREFSDQpWRVJTSU9OOjIuMA0K")
        );
    }

    #[test]
    fn content_that_is_no_calendar_of_that_method_is_refused() {
        let without = INVITATION.replace("METHOD:REQUEST\n", "");
        for (method, content, path, problem) in [
            (
                "CANCEL",
                INVITATION,
                "calendar.method",
                FieldProblem::OtherMethod,
            ),
            (
                "REQUEST",
                without.as_str(),
                "calendar.method",
                FieldProblem::OtherMethod,
            ),
            (
                "INVITE",
                INVITATION,
                "calendar.method",
                FieldProblem::InvalidMethod,
            ),
            (
                "REQUEST; x=y",
                INVITATION,
                "calendar.method",
                FieldProblem::InvalidMethod,
            ),
            (
                "REQUEST",
                "METHOD:REQUEST",
                "calendar.content",
                FieldProblem::InvalidCalendar,
            ),
            (
                "REQUEST",
                "BEGIN:VCALENDAR\nMETHOD:REQUEST",
                "calendar.content",
                FieldProblem::InvalidCalendar,
            ),
            (
                "REQUEST",
                "",
                "calendar.content",
                FieldProblem::InvalidCalendar,
            ),
            ("REQUEST", "\0", "calendar.content", FieldProblem::Nul),
        ] {
            let refused = calendar_part(&calendar(method, content)).unwrap_err();
            assert_eq!(
                (refused.path.as_str(), refused.problem),
                (path, problem),
                "{content}"
            );
        }
    }
}
