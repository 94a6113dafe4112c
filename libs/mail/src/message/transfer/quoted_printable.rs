pub(super) fn decode(body: &[u8], mut push: impl FnMut(u8) -> bool) {
    let mut rest = body;
    while let Some((&octet, tail)) = rest.split_first() {
        if matches!(octet, b' ' | b'\t') {
            // White space at the end of a line was added on the way (RFC 2045 §6.7 rule 3).
            let end = rest.iter().position(|octet| !matches!(octet, b' ' | b'\t'));
            let (run, after) = rest
                .split_at_checked(end.unwrap_or(rest.len()))
                .unwrap_or((rest, &[]));
            if !matches!(after, [] | [b'\n', ..] | [b'\r', b'\n', ..])
                && !run.iter().all(|octet| push(*octet))
            {
                return;
            }
            rest = after;
            continue;
        }
        rest = tail;
        let decoded = if octet == b'=' {
            if let Some(after) = soft_break(tail) {
                rest = after;
                continue;
            }
            match tail {
                [high, low, after @ ..] => match hex_value(*high).zip(hex_value(*low)) {
                    Some((high, low)) => {
                        rest = after;
                        high << 4 | low
                    }
                    None => octet,
                },
                _ => octet,
            }
        } else {
            octet
        };
        if !push(decoded) {
            return;
        }
    }
}

/// Returns what follows a line end after `=`, which may have lost white space on its way.
fn soft_break(tail: &[u8]) -> Option<&[u8]> {
    let blank = tail
        .iter()
        .take_while(|octet| matches!(octet, b' ' | b'\t' | b'\r'))
        .count();
    match tail.get(blank..) {
        Some([b'\n', after @ ..]) => Some(after),
        Some([]) => Some(&[]),
        _ => None,
    }
}

pub(crate) const fn hex_value(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}
