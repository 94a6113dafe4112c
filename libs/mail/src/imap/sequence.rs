use std::fmt::Write as _;

/// Classic servers take lines of 1000 octets; the command around a set needs some of them.
const SET_BYTES: usize = 800;

/// A sequence set for one command, and which of the given UIDs it names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UidSet {
    pub(super) text: String,
    pub(super) uids: Vec<u32>,
}

/// Returns the UIDs, sorted and without doubles, as sets that each fit a command line.
pub(super) fn uid_sets(uids: &[u32]) -> Vec<UidSet> {
    let mut sorted: Vec<u32> = uids.iter().copied().filter(|uid| *uid > 0).collect();
    sorted.sort_unstable();
    sorted.dedup();

    let mut sets: Vec<UidSet> = Vec::new();
    for run in sorted.chunk_by(|left, right| left.checked_add(1) == Some(*right)) {
        let mut text = String::new();
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            // Writing to a string cannot fail.
            let _written = if first == last {
                write!(text, "{first}")
            } else {
                write!(text, "{first}:{last}")
            };
        }
        match sets.last_mut() {
            Some(set) if set.text.len() + text.len() < SET_BYTES => {
                set.text.push(',');
                set.text.push_str(&text);
                set.uids.extend_from_slice(run);
            }
            _ => sets.push(UidSet {
                text,
                uids: run.to_vec(),
            }),
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_ranges_and_gaps_stay_out() {
        let sets = uid_sets(&[5, 1, 2, 3, 3, 0, 9, u32::MAX]);

        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0].text, "1:3,5,9,4294967295");
        assert_eq!(sets[0].uids, [1, 2, 3, 5, 9, u32::MAX]);
        assert_eq!(uid_sets(&[]), []);
    }

    #[test]
    fn long_sets_are_split_without_loss() {
        let odd: Vec<u32> = (0..5_000).map(|n| n * 2 + 1).collect();

        let sets = uid_sets(&odd);

        assert!(sets.iter().all(|set| set.text.len() <= SET_BYTES));
        let all: Vec<u32> = sets.into_iter().flat_map(|set| set.uids).collect();
        assert_eq!(all, odd);
    }
}
