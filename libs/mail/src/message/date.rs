//! Dates as people's programs write them (RFC 5322 §3.3 and §4.3, and further).

mod zone;

use time::{Date, Month, OffsetDateTime, Time};

use super::scanner::Scanner;

/// A longer value is no date.
const MAX_DATE: usize = 512;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Reads a moment; `None` where it does not say one beyond doubt: no time is better than a wrong one.
pub(super) fn read(value: &[u8]) -> Option<OffsetDateTime> {
    let words = words(value.get(..MAX_DATE).unwrap_or(value));
    let mut words: &[String] = &words;
    if let [first, rest @ ..] = words
        && !is_month(first)
        && !first.contains(|character: char| character.is_ascii_digit())
    {
        // The day of the week, in whatever language: the date tells it as well.
        words = rest;
    }
    let (date, words) = calendar_date(words)?;
    let (time, rest) = words.split_first()?;
    let time = clock_time(time)?;
    let (date, rest) = match date {
        Calendar::Whole(date) => (date, rest),
        // `Nov 30 10:00:00 2026`, and the zone on either side of the year.
        Calendar::NoYear(month, day) => {
            let at = rest.iter().position(|word| is_year(word))?;
            let date = to_date(rest.get(at)?, month, day)?;
            let zone = if at == 0 {
                rest.get(1..)
            } else {
                rest.get(..at)
            };
            (date, zone?)
        }
    };
    Some(date.with_time(time).assume_offset(zone::read(rest)?))
}

/// What is said before the time.
enum Calendar {
    Whole(Date),
    NoYear(Month, u8),
}

/// Splits at white space and commas, and a time from what is written on to it, in lower case and without comments.
fn words(value: &[u8]) -> Vec<String> {
    let mut scanner = Scanner::new(value);
    let mut words = Vec::new();
    loop {
        scanner.skip_blank();
        if scanner.peek().is_none() {
            return words;
        }
        let word = scanner.take_until(b" \t\r\n,;(\"\0");
        if word.is_empty() {
            scanner.take(1);
            continue;
        }
        let word = String::from_utf8_lossy(word).to_lowercase();
        // RFC 5322 §4.3 allows white space and comments around the colons of a time.
        let is_on_time = |last: &String| {
            (last.ends_with(':') || word.starts_with(':'))
                && last.starts_with(|first: char| first.is_ascii_digit())
        };
        if let Some(last) = words.pop_if(|last| is_on_time(last)) {
            words.extend(parts(&format!("{last}{word}")).map(str::to_owned));
        } else if !word.starts_with("=?") {
            // The name of a zone beyond ASCII is encoded, and says no more than its offset.
            words.extend(parts(&word).map(str::to_owned));
        }
    }
}

/// Splits `2026-11-30t10:00:00z` and `10:00:00+0100`.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let (date, time) = match word.split_once('t') {
        Some((date, time)) if date.len() == 10 && is_number(time.get(..2).unwrap_or_default()) => {
            (date, time)
        }
        _ => ("", word),
    };
    let is_time = time.contains(':') && time.starts_with(|first: char| first.is_ascii_digit());
    let is_of_time = |character: char| character.is_ascii_digit() || matches!(character, ':' | '.');
    let end = time.find(|character| !is_of_time(character));
    let end = end.filter(|_| is_time).unwrap_or(time.len());
    let (time, zone) = time.split_at_checked(end).unwrap_or((time, ""));
    [date, time, zone]
        .into_iter()
        .filter(|part| !part.is_empty())
}

fn calendar_date(words: &[String]) -> Option<(Calendar, &[String])> {
    match words {
        [day, month, year, rest @ ..]
            if is_number(day.trim_end_matches('.')) && is_month(month) =>
        {
            let day = day.trim_end_matches('.').parse().ok()?;
            let date = to_date(year, to_month(month)?, day)?;
            Some((Calendar::Whole(date), rest))
        }
        [month, day, rest @ ..] if is_month(month) => {
            let (month, day) = (to_month(month)?, day.parse().ok()?);
            match rest {
                [year, rest @ ..] if is_year(year) => {
                    Some((Calendar::Whole(to_date(year, month, day)?), rest))
                }
                _ => Some((Calendar::NoYear(month, day), rest)),
            }
        }
        [date, rest @ ..] if date.contains('-') => {
            let mut parts = date.splitn(3, '-');
            let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
            // `30-Nov-2026`; of figures alone, only the order of ISO 8601 is beyond doubt.
            if is_month(second) {
                let date = to_date(third, to_month(second)?, first.parse().ok()?)?;
                return Some((Calendar::Whole(date), rest));
            }
            (first.len() == 4 && is_number(first) && second.len() == 2).then_some(())?;
            let month = Month::try_from(second.parse::<u8>().ok()?).ok()?;
            let date = to_date(first, month, third.get(..2)?.parse().ok()?)?;
            third.len().eq(&2).then_some((Calendar::Whole(date), rest))
        }
        _ => None,
    }
}

fn to_date(year: &str, month: Month, day: u8) -> Option<Date> {
    let number: i32 = year.parse().ok().filter(|_| is_number(year))?;
    // RFC 5322 §4.3.
    let year = match (year.len(), number) {
        (2, 0..=49) => 2000 + number,
        (2 | 3, _) => 1900 + number,
        (4, 1900..) => number,
        _ => return None,
    };
    Date::from_calendar_date(year, month, day).ok()
}

/// Reads `10:00:00`, `9:05`, `10.00.00` and `10:00:00.123`.
fn clock_time(word: &str) -> Option<Time> {
    let separator = if word.contains(':') { ':' } else { '.' };
    let mut parts = word.split(separator);
    let hour = two_figures(parts.next()?)?;
    let minute = two_figures(parts.next()?)?;
    let second = match parts.next() {
        Some(second) => {
            let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
            is_number(fraction).then_some(())?;
            two_figures(second).filter(|second| *second <= 60)?
        }
        None => 0,
    };
    parts.next().is_none().then_some(())?;
    // Mail may name a leap second, which the calendar here does not have.
    Time::from_hms(hour, minute, second.min(59)).ok()
}

fn two_figures(text: &str) -> Option<u8> {
    text.parse()
        .ok()
        .filter(|_| text.len() <= 2 && is_number(text))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && is_number(text)
}

/// Returns whether a word is the name of a month or its beginning of at least three letters.
fn is_month(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    word.len() >= 3 && MONTHS.iter().any(|name| name.starts_with(word))
}

fn to_month(word: &str) -> Option<Month> {
    let word = word.trim_end_matches('.');
    let at = MONTHS.iter().position(|name| name.starts_with(word))?;
    Month::try_from(u8::try_from(at + 1).ok()?).ok()
}

#[cfg(test)]
mod tests;
