use std::time::Duration;

use mailmesh_domain::{ErrorChain, History, Responsibility};
use mailmesh_events::Problem;
use mailmesh_mail::SourceError;
use tokio::time::Instant;

use crate::config::Settings;

/// Steps that a permanent failure skips on the backoff: only a person can bring a missing folder back.
const PERMANENT_SHIFT: u32 = 3;

/// Maximum folders that a problem names.
const NAMED: usize = 3;

/// A folder that is skipped until its next try, while the others of its account are received.
#[derive(Debug)]
struct FailedFolder {
    name: String,
    /// Failures in a row.
    failures: u32,
    retry_at: Instant,
    /// None until the failure is reported.
    reported: Option<ReportedFailure>,
}

#[derive(Debug)]
struct ReportedFailure {
    what: String,
    decided: Responsibility,
    code: Option<String>,
}

/// The skipped folders of an account.
#[derive(Debug, Default)]
pub(crate) struct FailedFolders {
    folders: Vec<FailedFolder>,
}

impl FailedFolders {
    /// Returns which of the folders are opened now: those that are not skipped, or all if every one is.
    pub(crate) fn choose<'a>(&self, folders: &'a [String]) -> Vec<&'a str> {
        let now = Instant::now();
        let is_due = |name: &&str| {
            let mut failed = self.folders.iter();
            !failed.any(|failed| failed.name == *name && failed.retry_at > now)
        };
        let all = || folders.iter().map(String::as_str);
        let due: Vec<&str> = all().filter(is_due).collect();
        if due.is_empty() { all().collect() } else { due }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    pub(crate) fn note_success(&mut self, name: &str) {
        self.folders.retain(|failed| failed.name != name);
    }

    /// Skips a folder until its backoff is over. A transient failure is reported once it has repeated.
    pub(crate) fn note_failure(&mut self, name: &str, error: &SourceError, settings: &Settings) {
        let verdict = error.verdict();
        let known = self.folders.iter().position(|failed| failed.name == name);
        let before = known.map(|known| self.folders.swap_remove(known));
        let failures = before.as_ref().map_or(0, |failed| failed.failures);
        let failures = failures.saturating_add(1);
        let is_lasting = !verdict.is_retryable();
        let shift = if is_lasting { PERMANENT_SHIFT } else { 0 };
        let hint = verdict.retry_after.unwrap_or_default();
        let delay = settings
            .backoff()
            .after_or(failures.saturating_add(shift), hint);
        let reported = if is_lasting || failures >= settings.failures_to_report {
            Some(ReportedFailure {
                what: format!("folder {name:?}: {}", ErrorChain(error)),
                decided: error.diagnosis().responsibility(History::WORKS),
                code: error.code().map(ToOwned::to_owned),
            })
        } else {
            before.and_then(|failed| failed.reported)
        };
        self.folders.push(FailedFolder {
            name: name.to_owned(),
            failures,
            retry_at: Instant::now() + delay,
            reported,
        });
        // Sorted, so that the same problem has the same text, whichever folder failed last.
        self.folders.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// Returns the time until the first skipped folder is due again.
    pub(crate) fn next_try(&self) -> Option<Duration> {
        let next = self.folders.iter().map(|failed| failed.retry_at).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Returns the names of the folders that are skipped.
    pub(crate) fn names(&self) -> String {
        let names = self.folders.iter().map(|failed| &failed.name);
        first_of(names.map(|name| format!("{name:?}")), ", ")
    }

    /// Returns the problem that names the folders which are not received, and why.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let reported = || {
            self.folders
                .iter()
                .filter_map(|failed| failed.reported.as_ref())
        };
        let first = reported().next()?;
        let all = reported().map(|failure| failure.what.as_str());
        let what = format!("Not every folder is received. {}.", first_of(all, "; "));
        let problem = Problem::decided(what, &first.decided)
            .with_code(first.code.clone())
            .with_mail("All other folders are received. Mail of this one stays on the server until this is solved.");
        Some(problem)
    }
}

/// Lists the first few and says how many there are besides: an account may have a thousand folders.
fn first_of(items: impl Iterator<Item = impl AsRef<str>>, separator: &str) -> String {
    let items: Vec<_> = items.collect();
    let named = items.iter().take(NAMED).map(AsRef::as_ref);
    let text = named.collect::<Vec<&str>>().join(separator);
    match items.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text}{separator}and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::Protocol;

    use super::*;

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn failed_folder_is_kept_out_for_a_while_unless_all_fail() {
        let settings = Settings::default();
        let mut failed = FailedFolders::default();

        failed.note_failure("b", &SourceError::KeepsChanging, &settings);

        assert_eq!(failed.choose(&names()), ["a", "c"]);
        let wait = failed.next_try().unwrap();
        let base = Duration::from_millis(settings.backoff_milliseconds);
        assert!(wait <= base + base / 2, "{wait:?}");
        tokio::time::advance(wait).await;
        assert_eq!(failed.choose(&names()), ["a", "b", "c"]);

        for name in ["a", "b", "c"] {
            failed.note_failure(name, &SourceError::KeepsChanging, &settings);
        }
        assert_eq!(failed.choose(&names()), ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn failure_that_may_pass_is_told_once_it_stays_and_a_lasting_one_at_once() {
        let settings = Settings::default();
        let lasting = SourceError::CannotRead {
            protocol: Protocol::Smtp,
        };
        let mut failed = FailedFolders::default();

        for _ in 1..settings.failures_to_report {
            failed.note_failure("b", &SourceError::KeepsChanging, &settings);
            assert!(failed.problem().is_none());
        }
        failed.note_failure("b", &SourceError::KeepsChanging, &settings);
        assert!(failed.problem().is_some());

        failed.note_success("b");
        assert!(failed.is_empty() && failed.problem().is_none());
        failed.note_failure("c", &lasting, &settings);
        let problem = failed.problem().unwrap();
        assert!(problem.what.contains("\"c\""), "{problem:?}");
    }

    #[test]
    fn problem_names_the_first_folders_and_counts_the_others() {
        let settings = Settings::default();
        let lasting = SourceError::CannotRead {
            protocol: Protocol::Smtp,
        };
        let mut failed = FailedFolders::default();
        for number in 0..1_000 {
            failed.note_failure(&format!("f{number:03}"), &lasting, &settings);
        }

        let what = failed.problem().unwrap().what;

        assert_eq!(failed.names(), r#""f000", "f001", "f002", and 997 more"#);
        assert!(what.contains("\"f002\"") && what.ends_with("; and 997 more."));
    }
}
