use std::collections::HashMap;

use mailmesh_domain::FailureCause;
use mailmesh_events::Problem;

/// Looks in a row that found all mails under new ids, after which the ids are taken to mean nothing.
const USUAL: u32 = 2;

/// How often in a row a folder's mails were found under new ids. RFC 1939 §7 has an id stay with its mail; there are servers
/// that give others in each session, whose mails only their content identifies.
#[derive(Debug, Default)]
pub(super) struct Renumberings {
    folders: HashMap<String, u32>,
}

impl Renumberings {
    /// Notes a look, all of whose mails were dealt with.
    pub(super) fn note(&mut self, folder: &str, is_renumbered: bool) {
        if !is_renumbered {
            self.folders.remove(folder);
            return;
        }
        let times = self.folders.entry(folder.to_owned()).or_default();
        *times = times.saturating_add(1);
    }

    /// Returns whether each look finds new ids.
    pub(super) fn are_usual(&self, folder: &str) -> bool {
        self.folders
            .get(folder)
            .is_some_and(|times| *times >= USUAL)
    }

    /// Says that all mail is read at each look.
    pub(super) fn problem(&self, poll_seconds: u32) -> Option<Problem> {
        self.folders.values().find(|times| **times >= USUAL)?;
        let what = format!(
            "The server gives all mails new unique ids (UIDL) in each session, so that each is read again every {poll_seconds} seconds to compare its content."
        );
        let problem = Problem::new(what, FailureCause::UniqueIdsChange);
        Some(problem.with_mail("All mail is received, and each once."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_new_twice_in_a_row_mean_nothing_until_they_stay() {
        let mut renumberings = Renumberings::default();
        for (is_renumbered, is_usual) in [
            (true, false),
            (false, false),
            (true, false),
            (true, true),
            (true, true),
            (false, false),
        ] {
            renumberings.note("INBOX", is_renumbered);

            assert_eq!(renumberings.are_usual("INBOX"), is_usual);
            assert_eq!(renumberings.problem(60).is_some(), is_usual);
        }
        assert!(!renumberings.are_usual("other"));
    }
}
