use mailmesh_domain::Position;

use crate::convert::to_bigint;

/// Maximum entries per statement: 5,000 ids of 70 bytes are half a megabyte of parameters.
const CHUNK: usize = 5_000;

/// Beyond every id: RFC 1939 §7 has them of 0x21 to 0x7E. What a server gives beyond is never found absent.
const BEYOND: &str = "\u{10FFFF}";

/// A mail as a server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingEntry {
    /// Without an id, mails are identified by content alone.
    pub position: Position,
    /// What the server claims; another size under the same id means another mail.
    pub listed_bytes: Option<u64>,
}

/// A part of a listing that lists every mail whose position lies within its range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The least position of the range.
    pub(super) from: String,
    /// The least position beyond it.
    pub(super) until: String,
    pub(super) places: Vec<usize>,
    pub(super) positions: Vec<String>,
    pub(super) bytes: Vec<Option<i64>>,
}

/// Cuts a listing into chunks in the order of positions. A position is never cut: how often it is listed counts.
pub(super) fn chunks(entries: &[ListingEntry]) -> Vec<Chunk> {
    chunks_of(entries, CHUNK)
}

fn chunks_of(entries: &[ListingEntry], size: usize) -> Vec<Chunk> {
    let mut listed: Vec<_> = entries
        .iter()
        .enumerate()
        .map(|(place, entry)| (entry.position.within_epoch(), place, entry.listed_bytes))
        .collect();
    listed.sort_unstable();
    let mut chunks = Vec::new();
    let mut chunk = Chunk::starting_at(String::new());
    for (position, place, bytes) in listed {
        if chunk.places.len() >= size && chunk.positions.last() != Some(&position) {
            chunk.until.clone_from(&position);
            let next = Chunk::starting_at(position.clone());
            chunks.push(std::mem::replace(&mut chunk, next));
        }
        chunk.places.push(place);
        chunk.positions.push(position);
        chunk.bytes.push(bytes.map(to_bigint));
    }
    chunks.push(chunk);
    chunks
}

impl Chunk {
    fn starting_at(from: String) -> Self {
        Self {
            from,
            until: BEYOND.to_owned(),
            places: Vec::new(),
            positions: Vec::new(),
            bytes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(uidls: &[&str]) -> Vec<ListingEntry> {
        let entries = uidls.iter().map(|uidl| ListingEntry {
            position: Position::Pop3 {
                uidl: Some((*uidl).to_owned()),
            },
            listed_bytes: None,
        });
        entries.collect()
    }

    #[test]
    fn chunks_cover_all_positions_and_cut_none() {
        let chunks = chunks_of(&entries(&["c", "a", "b", "b", "b", "d", "B"]), 2);

        let ranges: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                let range = (chunk.from.as_str(), chunk.until.as_str());
                (range, chunk.places.as_slice())
            })
            .collect();
        assert_eq!(
            ranges,
            [
                (("", "b"), [6, 1].as_slice()),
                (("b", "c"), &[2, 3, 4]),
                (("c", BEYOND), &[0, 5]),
            ]
        );
    }

    #[test]
    fn an_empty_listing_is_one_chunk_that_covers_all() {
        let chunks = chunks_of(&[], 2);

        assert_eq!(chunks, [Chunk::starting_at(String::new())]);
    }
}
