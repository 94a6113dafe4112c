const fn base64_value(octet: u8) -> Option<u32> {
    let value = match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(value as u32)
}

/// Returns whether the first line that is not empty could be Base64: some senders write text under its name.
pub(super) fn is_likely(body: &[u8]) -> bool {
    let mut lines = body.split(|octet| *octet == b'\n');
    let first = lines.find(|line| !line.trim_ascii().is_empty());
    !first.is_some_and(is_prose)
}

/// Skips octets outside the alphabet. Ends at padding, unless all that follows are further pieces, and at a line of
/// other text: mailing lists and virus scanners append theirs.
pub(super) fn decode(body: &[u8], mut push: impl FnMut(u8) -> bool) {
    let mut bits = 0_u32;
    let mut count = 0_u32;
    let mut is_joined = false;
    let mut at = 0;
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        if is_prose(line) {
            return;
        }
        for octet in line {
            at += 1;
            if let Some(value) = base64_value(*octet) {
                bits = bits << 6 | value;
                count += 6;
                if count >= 8 {
                    count -= 8;
                    let [.., decoded] = (bits >> count).to_be_bytes();
                    if !push(decoded) {
                        return;
                    }
                }
            } else if *octet == b'=' {
                count = 0;
                // Looked at once: each later piece was part of the answer.
                is_joined = is_joined || are_pieces(body.get(at..).unwrap_or_default());
                if !is_joined {
                    return;
                }
            }
        }
    }
}

/// Returns whether octets after padding are Base64 of their own, as writers make that encode in pieces.
fn are_pieces(octets: &[u8]) -> bool {
    let mut letters = 0_usize;
    let mut is_any = false;
    for octet in octets {
        match octet {
            b'=' if letters.is_multiple_of(4) || letters % 4 > 1 => letters = 0,
            b'\r' | b'\n' => {}
            b'-' | b'_' => return false,
            _ if base64_value(*octet).is_some() => {
                letters += 1;
                is_any = true;
            }
            _ => return false,
        }
    }
    is_any && letters.is_multiple_of(4)
}

/// Returns whether a line is text that a person reads, such as `-- ` or `virus checked by example`.
fn is_prose(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if let [first, second, ..] = line
        && first == second
        && b"-_*#~.<".contains(first)
    {
        return true;
    }
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let count = |is: &dyn Fn(&u8) -> bool| line.iter().filter(|octet| is(octet)).count();
    let is_letter = |octet: &u8| base64_value(*octet).is_some() || *octet == b'=';
    let letters = count(&is_letter);
    let others = count(&|octet| !is_letter(octet) && !is_blank(octet));
    if !line.iter().any(is_blank) {
        return others > letters;
    }
    // Relays that lose line ends leave blanks: whole groups stand between them, or single letters.
    let words = || line.split(is_blank).filter(|word| !word.is_empty());
    let is_spaced_out =
        words().all(|word| word.len() == 1) || words().all(|word| word.len().is_multiple_of(4));
    !is_spaced_out && (others > 0 || !letters.is_multiple_of(4))
}
