//! What a run prints.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

/// Writes a line to standard output.
pub(crate) fn say(line: impl Display) {
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn note(line: impl Display) {
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints rows with aligned columns under a title.
pub(crate) fn print(title: &str, rows: &[(String, String)]) {
    say(format!("\n{title}"));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        say(format!("  {name:width$}  {value}"));
    }
}

/// Mails per second.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
    count / took.as_secs_f64().max(f64::EPSILON)
}

pub(crate) fn rate_row(name: &str, count: usize, took: Duration) -> (String, String) {
    let value = format!(
        "{:.0} mails/s ({:.2} s)",
        rate(count, took),
        took.as_secs_f64()
    );
    (name.to_owned(), value)
}

/// The value below which so many of a hundred lie.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

pub(crate) fn latency_rows(mut samples: Vec<Duration>) -> Vec<(String, String)> {
    samples.sort();
    let row = |name: &str, percent: usize| {
        let value = percentile(&samples, percent).as_secs_f64() * 1_000.0;
        (name.to_owned(), format!("{value:.2} ms"))
    };
    vec![
        row("p50", 50),
        row("p90", 90),
        row("p99", 99),
        row("max", 100),
    ]
}
