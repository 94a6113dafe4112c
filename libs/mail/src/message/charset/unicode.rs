use encoding_rs::{UTF_16BE, UTF_16LE};

use super::label::ByteOrder;

/// Reads octets that begin with a byte order mark; `None` when they do not.
pub(super) fn by_mark(octets: &[u8]) -> Option<String> {
    Some(match octets {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, 0, 0, rest @ ..] => utf_32(rest, ByteOrder::Little),
        [0, 0, 0xfe, 0xff, rest @ ..] => utf_32(rest, ByteOrder::Big),
        [0xff, 0xfe, rest @ ..] => utf_16(rest, ByteOrder::Little),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, ByteOrder::Big),
        _ => return None,
    })
}

pub(super) fn utf_16(octets: &[u8], order: ByteOrder) -> String {
    let is_little = match order {
        ByteOrder::Little => true,
        ByteOrder::Big => false,
        // RFC 2781 §4.3 wants the big end first; Windows writes otherwise. The upper halves of Latin text are zero.
        ByteOrder::Unsaid => {
            let zeros = |at: usize| {
                octets
                    .iter()
                    .skip(at)
                    .step_by(2)
                    .filter(|octet| **octet == 0)
            };
            zeros(1).count() > zeros(0).count()
        }
    };
    let encoding = if is_little { UTF_16LE } else { UTF_16BE };
    encoding.decode_without_bom_handling(octets).0.into_owned()
}

pub(super) fn utf_32(octets: &[u8], order: ByteOrder) -> String {
    // No character needs the upper octet.
    let is_little = order == ByteOrder::Little
        || order == ByteOrder::Unsaid && octets.first().is_some_and(|octet| *octet != 0);
    let characters = octets.chunks_exact(4).map(|four| {
        let four = four.try_into().unwrap_or_default();
        let number = if is_little {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        };
        char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    characters.collect()
}

/// Reads UTF-7 (RFC 2152), in which `+` begins UTF-16 in Base64.
pub(super) fn utf_7(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        if *octet != b'+' {
            text.push(char::from(*octet));
            continue;
        }
        let length = tail
            .iter()
            .take_while(|octet| sextet(**octet).is_some())
            .count();
        let (run, after) = tail.split_at_checked(length).unwrap_or((tail, &[]));
        rest = after.strip_prefix(b"-").unwrap_or(after);
        if run.is_empty() {
            text.push('+');
        } else {
            text.push_str(&String::from_utf16_lossy(&units(run)));
        }
    }
    text
}

fn units(run: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(run.len() * 3 / 8);
    let mut bits = 0_u32;
    let mut count = 0;
    for value in run.iter().filter_map(|octet| sextet(*octet)) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 16 {
            count -= 16;
            let [_, _, high, low] = (bits >> count).to_be_bytes();
            units.push(u16::from_be_bytes([high, low]));
        }
    }
    units
}

const fn sextet(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
