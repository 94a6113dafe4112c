use mailmesh_domain::VerdictKind;
use mailmesh_mail::MailSource;

use crate::failure::WatchFailure;

/// Bytes read of a control mail: enough to prove that the server shows mails.
const CONTROL_BYTES: u32 = 64 * 1024;

/// What other mails of the folder show of the server, right before a poison candidate is asked for once more. A fault of
/// the server shows on them too, also one that has ended just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ControlFetch {
    /// None was made, or no other mail could be read either.
    #[default]
    Inconclusive,
    /// Another mail was read.
    Passed,
    /// The folder holds no other.
    NoOther,
}

/// Reads other mails of the open folder than the one that failed `attempts` times.
pub(crate) async fn fetch_control(
    source: &mut dyn MailSource,
    ordinal: u64,
    attempts: i32,
) -> Result<ControlFetch, WatchFailure> {
    let others = list_others(source, ordinal).await?;
    if others.is_empty() {
        return Ok(ControlFetch::NoOther);
    }
    for other in choose(&others, attempts) {
        match source.fetch_slice(other, 0, CONTROL_BYTES).await {
            Ok(_) => return Ok(ControlFetch::Passed),
            Err(error)
                if error.is_session_usable() && error.verdict().kind != VerdictKind::Throttled => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ControlFetch::Inconclusive)
}

async fn list_others(source: &mut dyn MailSource, ordinal: u64) -> Result<Vec<u64>, WatchFailure> {
    // Also those before it: what follows may be broken just as it is.
    let mut others = source.list_after(0).await?;
    others.extend(source.list_after(ordinal).await?);
    let mut others: Vec<u64> = others.iter().map(|mail| mail.ordinal).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|other| *other != ordinal);
    Ok(others)
}

/// Chooses some of the mails, as any may be broken as well. With each attempt others, and another one first: one that breaks
/// the session is the last that is read of an attempt.
fn choose(others: &[u64], attempts: i32) -> Vec<u64> {
    let attempts = usize::try_from(attempts).unwrap_or(0);
    let spread = attempts.wrapping_mul(7_919) % others.len().max(1);
    let mut candidates = [others.first(), others.last(), others.get(spread)];
    let first = attempts % candidates.len();
    candidates.rotate_left(first);
    let mut chosen = Vec::new();
    for other in candidates {
        chosen.extend(other.filter(|other| !chosen.contains(*other)));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_mails_are_read_with_each_attempt() {
        let others: Vec<u64> = (1..=1_000).collect();

        let chosen: std::collections::BTreeSet<u64> = (3..23)
            .flat_map(|attempts| choose(&others, attempts))
            .collect();

        assert!(chosen.len() > 20, "{chosen:?}");
        assert_eq!(choose(&[5], 3), [5]);
        assert_eq!(choose(&[5, 6], 3), [5, 6]);
        let first: std::collections::BTreeSet<u64> = (3..9)
            .filter_map(|attempts| choose(&others, attempts).first().copied())
            .collect();
        assert!(first.len() >= 4, "{first:?}");
    }
}
