use std::fmt;

use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Writes a moment as INTERNALDATE does.
pub(super) struct InternalDate(pub(super) OffsetDateTime);

impl fmt::Display for InternalDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self.0;
        let month = MONTHS
            .get(usize::from(u8::from(moment.month())) - 1)
            .unwrap_or(&"Jan");
        let (hours, minutes, _) = moment.offset().as_hms();
        let sign = if moment.offset().is_negative() {
            '-'
        } else {
            '+'
        };
        write!(
            formatter,
            "{:2}-{month}-{} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            moment.day(),
            moment.year(),
            moment.hour(),
            moment.minute(),
            moment.second(),
            hours.unsigned_abs(),
            minutes.unsigned_abs(),
        )
    }
}

/// Reads `1-Feb-2026`.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.trim().splitn(3, '-');
    let day = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let place = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))?;
    let month = Month::try_from(u8::try_from(place + 1).ok()?).ok()?;
    let year = parts.next()?.parse().ok()?;
    Date::from_calendar_date(year, month, day).ok()
}

/// Reads ` 1-Feb-2026 08:09:10 +0100`.
pub(super) fn parse_moment(text: &str) -> Option<OffsetDateTime> {
    let mut parts = text.trim().split(' ');
    let date = parse_date(parts.next()?)?;
    let mut clock = parts.next()?.split(':').map(str::parse::<u8>);
    let time = Time::from_hms(
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let zone: i32 = parts.next()?.parse().ok()?;
    let offset = UtcOffset::from_whole_seconds((zone / 100) * 3_600 + (zone % 100) * 60);
    Some(date.with_time(time.ok()?).assume_offset(offset.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_writing_and_reading() {
        for text in ["17-Jul-1996 02:44:25 -0730", " 1-Feb-2026 08:09:10 +0000"] {
            let moment = parse_moment(text).expect("a moment");

            assert_eq!(InternalDate(moment).to_string(), text);
        }
    }
}
