use bytes::Bytes;

use crate::server::bytes::{find_byte, trim_line_end};
use crate::server::wire::{ConnectionEnd, Wire};

const LINE_BYTES: usize = 64 * 1_024;
const LITERAL_BYTES: usize = 64 * 1_024 * 1_024;

pub(super) enum ReceivedCommand {
    /// A whole command; its literals lie where they stood.
    Command(Bytes),
    TooLong {
        tag: String,
    },
}

/// Reads one command with all its literals.
pub(super) async fn read_command(wire: &mut Wire) -> Result<ReceivedCommand, ConnectionEnd> {
    let mut scanned = 0;
    loop {
        let rest = wire.input.get(scanned..).unwrap_or_default();
        let Some(end) = find_byte(b'\n', rest) else {
            if rest.len() > LINE_BYTES {
                return skip_line(wire).await;
            }
            wire.fill().await?;
            continue;
        };
        let end = scanned + end + 1;
        let line = wire.input.get(scanned..end).unwrap_or_default();
        let Some((bytes, is_synchronizing)) = find_literal(line) else {
            return Ok(ReceivedCommand::Command(wire.input.split_to(end).freeze()));
        };
        if bytes > LITERAL_BYTES {
            // A client that does not wait sends the literal anyway: nothing after it can be told apart.
            let tag = read_tag(&wire.input);
            if is_synchronizing {
                wire.input.clear();
                return Ok(ReceivedCommand::TooLong { tag });
            }
            wire.say(format_args!("* BYE {tag} literal too large\r\n"));
            return Err(ConnectionEnd::ByUs);
        }
        if is_synchronizing {
            wire.put(b"+ Ready\r\n");
        }
        wire.expect_bulk();
        wire.input
            .reserve((end + bytes).saturating_sub(wire.input.len()));
        while wire.input.len() < end + bytes {
            wire.fill().await?;
        }
        scanned = end + bytes;
    }
}

async fn skip_line(wire: &mut Wire) -> Result<ReceivedCommand, ConnectionEnd> {
    let tag = read_tag(&wire.input);
    wire.read_line(LINE_BYTES).await?;
    Ok(ReceivedCommand::TooLong { tag })
}

fn read_tag(line: &[u8]) -> String {
    let tag = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    String::from_utf8_lossy(tag.get(..64).unwrap_or(tag)).into_owned()
}

/// Reads `{n}` or `{n+}` at the end of a line.
fn find_literal(line: &[u8]) -> Option<(usize, bool)> {
    let inner = trim_line_end(line).strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = inner.get(open + 1..)?;
    let (digits, is_synchronizing) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    let bytes = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((bytes, is_synchronizing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_seen_only_at_the_end_of_a_line() {
        assert_eq!(find_literal(b"a APPEND x {12}\r\n"), Some((12, true)));
        assert_eq!(find_literal(b"a APPEND x {12+}\r\n"), Some((12, false)));
        assert_eq!(find_literal(b"a APPEND x {12} y\r\n"), None);
        assert_eq!(find_literal(b"a NOOP\r\n"), None);
        assert_eq!(find_literal(b"a x {}\r\n"), None);
    }
}
