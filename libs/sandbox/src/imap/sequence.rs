use std::fmt;
use std::ops::Range;

/// A set of UIDs or sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence(Vec<(End, End)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Number(u32),
    Largest,
}

impl End {
    const fn put(self, largest: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Largest => largest,
        }
    }
}

impl Sequence {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split(',')
            .map(|part| {
                let (first, last) = part.split_once(':').unwrap_or((part, part));
                Some((parse_end(first)?, parse_end(last)?))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// Returns the ranges with `*` put in and their ends in order.
    fn ranges(&self, largest: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().map(move |(first, last)| {
            let (first, last) = (first.put(largest), last.put(largest));
            (first.min(last), first.max(last))
        })
    }

    pub(super) fn contains(&self, number: u32, largest: u32) -> bool {
        self.ranges(largest)
            .any(|(first, last)| (first..=last).contains(&number))
    }

    /// Returns the places in `uids` that the set means, ordered, each once.
    pub(super) fn places(&self, uids: &[u32], is_by_uid: bool) -> Vec<usize> {
        let count = u32::try_from(uids.len()).unwrap_or(u32::MAX);
        let largest = if is_by_uid {
            uids.last().copied().unwrap_or(0)
        } else {
            count
        };
        let mut places: Vec<usize> = self
            .ranges(largest)
            .flat_map(|(first, last)| place_range(uids, is_by_uid, first, last))
            .collect();
        if self.0.len() > 1 {
            places.sort_unstable();
            places.dedup();
        }
        places
    }
}

fn place_range(uids: &[u32], is_by_uid: bool, first: u32, last: u32) -> Range<usize> {
    if is_by_uid {
        let start = uids.partition_point(|uid| *uid < first);
        let end = uids.partition_point(|uid| *uid <= last);
        return start..end;
    }
    let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    place(first.saturating_sub(1))..place(last).min(uids.len())
}

fn parse_end(text: &str) -> Option<End> {
    if text == "*" {
        return Some(End::Largest);
    }
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .map(End::Number)
}

/// Writes ordered UIDs as a set, runs joined.
pub(super) struct UidSet<'a>(pub(super) &'a [u32]);

impl fmt::Display for UidSet<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self
            .0
            .chunk_by(|one, next| next.checked_sub(*one) == Some(1));
        let mut separator = "";
        for run in runs {
            match run {
                [first, .., last] => write!(formatter, "{separator}{first}:{last}")?,
                [only] => write!(formatter, "{separator}{only}")?,
                [] => {}
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(set: &str, is_by_uid: bool) -> Vec<usize> {
        let sequence = Sequence::parse(set).expect("a set");
        sequence.places(&[2, 3, 7, 9], is_by_uid)
    }

    #[test]
    fn a_range_beyond_the_end_always_means_the_last_mail() {
        assert_eq!(places("100:*", true), [3]);
        assert_eq!(places("*", true), [3]);
        assert_eq!(places("*", false), [3]);
    }

    #[test]
    fn sets_yield_each_place_once_and_in_order() {
        assert_eq!(places("7,2:4,3", true), [0, 1, 2]);
        assert_eq!(places("3:2,1", false), [0, 1, 2]);
        assert_eq!(places("4:6", true), [] as [usize; 0]);
        assert_eq!(places("8", false), [] as [usize; 0]);
    }

    #[test]
    fn zero_and_words_are_no_numbers() {
        assert_eq!(Sequence::parse("0"), None);
        assert_eq!(Sequence::parse("1:x"), None);
        assert_eq!(Sequence::parse(""), None);
    }

    #[test]
    fn uid_sets_join_runs() {
        assert_eq!(UidSet(&[1, 2, 3, 7, 9, 10]).to_string(), "1:3,7,9:10");
    }
}
