//! Character sets that change their meaning in mid-text, brought to forms that `encoding_rs` reads.

const ESCAPE: u8 = 0x1b;
const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;

/// Turns ISO-2022-KR (RFC 1557) and -CN (RFC 1922) into EUC: what stands between the shifts gets its upper bit.
pub(super) fn iso_2022(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut is_shifted = false;
    let mut rest = octets;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        match (*octet, tail) {
            // Says which set the shift leads to; there is but one that we read.
            (ESCAPE, [b'$', b')' | b'*' | b'+', _, after @ ..]) => rest = after,
            (SHIFT_OUT, _) => is_shifted = true,
            (SHIFT_IN, _) => is_shifted = false,
            (b'\n', _) => {
                // Each line begins in ASCII, also when a cut has cost the shift.
                is_shifted = false;
                out.push(b'\n');
            }
            (0x21..=0x7e, _) if is_shifted => out.push(octet | 0x80),
            _ => out.push(*octet),
        }
    }
    out
}

/// Turns HZ (RFC 1843) into GBK.
pub(super) fn hz(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut is_shifted = false;
    let mut rest = octets;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        match (*octet, tail) {
            (b'~', [b'{', after @ ..]) => (is_shifted, rest) = (true, after),
            (b'~', [b'}', after @ ..]) => (is_shifted, rest) = (false, after),
            (b'~', [b'~', after @ ..]) if !is_shifted => {
                rest = after;
                out.push(b'~');
            }
            (b'~', [b'\n', after @ ..]) => rest = after,
            (b'\n', _) => {
                is_shifted = false;
                out.push(b'\n');
            }
            (0x21..=0x7e, _) if is_shifted => out.push(octet | 0x80),
            _ => out.push(*octet),
        }
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
