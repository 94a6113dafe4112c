use time::UtcOffset;

/// The zones on land reach from -12:00 to +14:00.
const MAX_MINUTES: i16 = 14 * 60;

/// Reads what stands behind the time; `None` when it does not say an offset that is beyond doubt.
pub(super) fn read(words: &[String]) -> Option<UtcOffset> {
    let (first, rest) = words.split_first()?;
    let mut named = rest;
    let offset = if let Some(offset) = numeric(first) {
        offset
    } else {
        let split = first.find(['+', '-']);
        let (name, offset) = first.split_at_checked(split.unwrap_or(first.len()))?;
        match (by_name(name)?, offset) {
            // `GMT+0100`, and with a space between.
            (0, "") if rest.first().is_some_and(|next| numeric(next).is_some()) => {
                named = rest.get(1..)?;
                numeric(rest.first()?)?
            }
            (minutes, "") => minutes,
            (0, offset) => numeric(offset)?,
            _ => return None,
        }
    };
    // The zone's name may follow; a half of the day would change what the time was.
    let is_remark = |word: &String| {
        word.bytes().all(|octet| !octet.is_ascii_digit())
            && !matches!(word.trim_matches('.'), "am" | "pm" | "a.m" | "p.m")
    };
    named.iter().all(is_remark).then_some(())?;
    UtcOffset::from_whole_seconds(i32::from(offset) * 60).ok()
}

/// Reads `+0100`, `-03:30`, `+01`, `-5` and `-600` as minutes.
fn numeric(text: &str) -> Option<i16> {
    let (sign, figures) = match text.split_at_checked(1)? {
        ("+", figures) => (1, figures),
        ("-", figures) => (-1, figures),
        _ => return None,
    };
    let (hours, minutes) = match figures.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if figures.len() > 2 => figures.split_at_checked(figures.len() - 2)?,
        None => (figures, "0"),
    };
    let is_number = |text: &str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
    };
    (is_number(hours) && is_number(minutes)).then_some(())?;
    let minutes: i16 = minutes.parse().ok().filter(|minutes| *minutes < 60)?;
    let total = hours.parse::<i16>().ok()? * 60 + minutes;
    (total <= MAX_MINUTES).then_some(sign * total)
}

/// Returns the minutes of a zone whose name means one zone in mail. RFC 5322 §4.3 names those of America; single
/// letters but Z were told the wrong way round, and `IST` or `BST` are several zones.
fn by_name(name: &str) -> Option<i16> {
    Some(match name {
        "z" | "ut" | "gmt" | "utc" | "wet" => 0,
        "cet" | "met" | "mez" | "west" => 60,
        "cest" | "mest" | "mesz" | "eet" => 2 * 60,
        "eest" | "msk" => 3 * 60,
        "jst" | "kst" => 9 * 60,
        "aest" => 10 * 60,
        "aedt" => 11 * 60,
        "edt" => -4 * 60,
        "est" | "cdt" => -5 * 60,
        "cst" | "mdt" => -6 * 60,
        "mst" | "pdt" => -7 * 60,
        "pst" | "akdt" => -8 * 60,
        "akst" => -9 * 60,
        "hst" => -10 * 60,
        _ => return None,
    })
}
