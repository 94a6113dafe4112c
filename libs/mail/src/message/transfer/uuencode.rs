/// Returns whether a line says where the encoded octets begin.
pub(super) fn is_likely(body: &[u8]) -> bool {
    lines(body).any(|line| line.starts_with(b"begin "))
}

/// Decodes what stands between the `begin` and the `end` line.
pub(super) fn decode(body: &[u8], mut push: impl FnMut(u8) -> bool) {
    let inner = lines(body).skip_while(|line| !line.starts_with(b"begin "));
    for line in inner.skip(1) {
        let Some((length, letters)) = line.split_first() else {
            continue;
        };
        if line == b"end" {
            return;
        }
        let mut left = usize::from(sextet(*length));
        for group in letters.chunks(4) {
            // Relays cut spaces off the end of a line; each is a zero.
            let values = [0, 1, 2, 3].map(|at| group.get(at).map_or(0, |octet| sextet(*octet)));
            let bits = values
                .iter()
                .fold(0_u32, |bits, value| bits << 6 | u32::from(*value));
            let [_, decoded @ ..] = bits.to_be_bytes();
            for octet in decoded.into_iter().take(left) {
                if !push(octet) {
                    return;
                }
            }
            left = left.saturating_sub(3);
        }
        for _ in 0..left {
            if !push(0) {
                return;
            }
        }
    }
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|octet| *octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// A space and a grave accent are both zero.
const fn sextet(octet: u8) -> u8 {
    octet.wrapping_sub(b' ') & 0x3f
}
