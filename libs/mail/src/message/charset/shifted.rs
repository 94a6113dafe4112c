//! Character sets that change their meaning in mid-text, brought to forms that `encoding_rs` reads.

const ESCAPE: u8 = 0x1b;
const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;

/// What an octet or more of a shifting character set stands for.
enum ShiftCode {
    Shift(bool),
    Octet(u8),
    Nothing,
}

/// Reads a code of the character set from the beginning; none if an octet of text stands there.
type ReadCode = fn(&[u8], bool) -> Option<(ShiftCode, &[u8])>;

/// Turns ISO-2022-KR (RFC 1557) and -CN (RFC 1922) into EUC: what stands between the shifts gets its upper bit.
pub(super) fn iso_2022(octets: &[u8]) -> Vec<u8> {
    unshift(octets, |rest, _| match rest {
        // Says which set the shift leads to; there is but one that we read.
        [ESCAPE, b'$', b')' | b'*' | b'+', _, after @ ..] => Some((ShiftCode::Nothing, after)),
        [SHIFT_OUT, after @ ..] => Some((ShiftCode::Shift(true), after)),
        [SHIFT_IN, after @ ..] => Some((ShiftCode::Shift(false), after)),
        _ => None,
    })
}

/// Turns HZ (RFC 1843) into GBK.
pub(super) fn hz(octets: &[u8]) -> Vec<u8> {
    unshift(octets, |rest, is_shifted| match rest {
        [b'~', b'{', after @ ..] => Some((ShiftCode::Shift(true), after)),
        [b'~', b'}', after @ ..] => Some((ShiftCode::Shift(false), after)),
        [b'~', b'~', after @ ..] if !is_shifted => Some((ShiftCode::Octet(b'~'), after)),
        [b'~', b'\n', after @ ..] => Some((ShiftCode::Nothing, after)),
        _ => None,
    })
}

fn unshift(octets: &[u8], read: ReadCode) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut is_shifted = false;
    let mut rest = octets;
    while let [octet, tail @ ..] = rest {
        if let Some((code, after)) = read(rest, is_shifted) {
            rest = after;
            match code {
                ShiftCode::Shift(shifts) => is_shifted = shifts,
                ShiftCode::Octet(octet) => out.push(octet),
                ShiftCode::Nothing => {}
            }
            continue;
        }
        rest = tail;
        // Each line begins in ASCII, also when a cut has cost the shift.
        is_shifted &= *octet != b'\n';
        let is_of_pair = is_shifted && matches!(octet, 0x21..=0x7e);
        out.push(if is_of_pair { octet | 0x80 } else { *octet });
    }
    out
}

/// Drops escape sequences of ISO-2022-JP that another follows at once, as where two encoded words are joined: the
/// Encoding Standard reads an error there.
pub(super) fn without_empty_escapes(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((octet, tail)) = rest.split_first() {
        let length = escape_length(rest);
        if length > 0 {
            let (escape, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            if escape_length(after) == 0 {
                out.extend_from_slice(escape);
            }
            rest = after;
        } else {
            out.push(*octet);
            rest = tail;
        }
    }
    out
}

const fn escape_length(octets: &[u8]) -> usize {
    match octets {
        [ESCAPE, b'$', b'(', _, ..] => 4,
        [ESCAPE, b'(' | b'$', _, ..] => 3,
        _ => 0,
    }
}
