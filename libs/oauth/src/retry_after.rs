use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::{DATE, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

// A wait of more than a day is a mistake of the server; mail that waits for so long looks lost.
const LONGEST: Duration = Duration::from_hours(24);

/// Returns how long the server asks to wait. A date counts from the server's own `Date`, so that
/// neither clock has to be right.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let sent = moment(headers.get(DATE)?.to_str().ok()?)?;
        Duration::try_from(moment(value)? - sent).unwrap_or_default()
    };
    Some(delay.min(LONGEST))
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (value, sent, delay) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("99999999", None, Some(86_400)),
            ("Wed, 21 Oct 2026 07:29:30 GMT", Some(date), Some(90)),
            ("Wed, 21 Oct 2026 07:00:00 GMT", Some(date), Some(0)),
            ("Wed, 21 Oct 2026 07:29:30 GMT", None, None),
            ("soon", Some(date), None),
            ("-5", Some(date), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(sent) = sent {
                headers.insert(DATE, sent.parse().unwrap());
            }
            assert_eq!(
                retry_after(&headers),
                delay.map(Duration::from_secs),
                "{value}"
            );
        }
    }
}
