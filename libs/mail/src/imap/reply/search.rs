use super::super::lexer::{Lexer, Token};

/// Maximum UIDs of one response: ranges can name four billion in a few bytes.
const MOST_UIDS: usize = 1 << 20;

/// Reads what follows `SEARCH`; none if any of it is no UID, as then nobody knows which were found.
pub(super) fn read_search(mut lexer: Lexer<'_>) -> Option<Vec<u32>> {
    let mut uids = Vec::new();
    while let Some(token) = lexer.next() {
        match token {
            Token::Atom(set) => add_set(&mut uids, set)?,
            // `(MODSEQ n)` of RFC 7162 §3.1.5.
            Token::Open => {
                let name = lexer.next()?.bytes()?;
                if !name.eq_ignore_ascii_case(b"MODSEQ") {
                    return None;
                }
                lexer.skip_value(Token::Open)?;
            }
            _ => return None,
        }
    }
    lexer.is_at_end().then_some(uids)
}

/// Reads what follows `ESEARCH` (RFC 9051 §7.3.4), with which servers answer although no `RETURN` was asked for. Whose tag it
/// bears does not matter, as one command is under way at a time.
pub(super) fn read_esearch(mut lexer: Lexer<'_>) -> Option<Vec<u32>> {
    let mut uids = None;
    let mut is_by_uid = false;
    let mut has_found = false;
    while let Some(token) = lexer.next() {
        let name = match token {
            Token::Open => {
                lexer.skip_value(Token::Open)?;
                continue;
            }
            Token::Atom(name) => name,
            _ => return None,
        };
        if name.eq_ignore_ascii_case(b"UID") {
            is_by_uid = true;
            continue;
        }
        let value = lexer.next()?;
        if name.eq_ignore_ascii_case(b"ALL") {
            let Token::Atom(set) = value else {
                return None;
            };
            add_set(uids.get_or_insert_default(), set)?;
        } else {
            has_found |= value.number::<u64>() != Some(0);
            lexer.skip_value(value)?;
        }
    }
    // Without ALL it counts or bounds what was found; without UID its numbers are others.
    let is_known = if uids.is_some() {
        is_by_uid
    } else {
        !has_found
    };
    (is_known && lexer.is_at_end()).then_some(uids.unwrap_or_default())
}

/// Adds `n`, or a set such as `1:3,7`. What is zero or has more than 32 bits is no UID, and stands for no mail that could be
/// asked for.
fn add_set(uids: &mut Vec<u32>, set: &[u8]) -> Option<()> {
    for piece in set.split(|byte| *byte == b',') {
        let mut ends = piece.splitn(2, |byte| *byte == b':').map(read_number);
        let first = ends.next()??;
        let last = ends.next().unwrap_or(Some(first))?;
        let (low, high) = (first.min(last).max(1), first.max(last));
        let low = u32::try_from(low).unwrap_or(u32::MAX);
        let Ok(high) = u32::try_from(high) else {
            if first == last {
                continue;
            }
            return None;
        };
        if high < low {
            continue;
        }
        if usize::try_from(high - low).ok()? >= MOST_UIDS.saturating_sub(uids.len()) {
            return None;
        }
        uids.extend(low..=high);
    }
    Some(())
}

fn read_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte.saturating_sub(b'0'))?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_read_in_each_form_that_servers_give_them() {
        for (text, expected) in [
            ("", vec![]),
            (" 3 1 2 ", vec![3, 1, 2]),
            ("  1  2", vec![1, 2]),
            ("0001 0002", vec![1, 2]),
            ("1 2 (MODSEQ 917)", vec![1, 2]),
            ("1,2,3", vec![1, 2, 3]),
            ("1:3 7", vec![1, 2, 3, 7]),
            ("3:1", vec![1, 2, 3]),
            // No mail has such numbers.
            ("0 1 99999999999 2", vec![1, 2]),
            ("99999999999999999999999 1", vec![1]),
            ("4294967295", vec![u32::MAX]),
        ] {
            let found = read_search(Lexer::new(text.as_bytes()));
            assert_eq!(found, Some(expected), "{text}");
        }
    }

    #[test]
    fn extended_answers_are_read() {
        for (text, expected) in [
            ("(TAG \"A5\") UID ALL 1,2,3", vec![1, 2, 3]),
            (
                "(TAG \"x\") UID MIN 1 MAX 5 ALL 1:3,5 COUNT 4",
                vec![1, 2, 3, 5],
            ),
            ("UID ALL 7", vec![7]),
            ("(TAG \"A5\") UID", vec![]),
            ("(TAG \"A5\") UID COUNT 0", vec![]),
            ("(TAG \"A5\") uid all 2 MODSEQ 917 X (1 (2))", vec![2]),
        ] {
            let found = read_esearch(Lexer::new(text.as_bytes()));
            assert_eq!(found, Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        for text in [
            "-1 1 2",
            "(1 2 3)",
            "\"1\" \"2\"",
            "1, 2",
            "1 abc",
            "1 2 (X 3)",
            "1:*",
            "1 2 \"",
            "1:4294967295",
            "1:99999999999",
            "1.0",
            "{1}",
            "1 2 (MODSEQ 9",
        ] {
            assert_eq!(read_search(Lexer::new(text.as_bytes())), None, "{text}");
        }
        for text in [
            "(TAG \"A5\") ALL 1:3",
            "(TAG \"A5\") UID COUNT 4",
            "(TAG \"A5\") UID MIN 1",
            "(TAG \"A5\") UID ALL",
            "(TAG \"A5\") UID ALL (1 2)",
            "(TAG \"A5\" UID ALL 1",
        ] {
            assert_eq!(read_esearch(Lexer::new(text.as_bytes())), None, "{text}");
        }
    }
}
