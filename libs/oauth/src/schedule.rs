//! When a grant is refreshed.

use std::time::Duration;

use time::OffsetDateTime;

/// An access token whose end the provider does not tell (RFC 6749 §5.1 only recommends it).
const ASSUMED_LIFE: Duration = Duration::from_hours(1);
const SMALLEST_MARGIN: Duration = Duration::from_mins(5);
/// Providers forget grants that are not used: Google after six months, Microsoft after ninety days.
const LONGEST_REST: Duration = Duration::from_hours(7 * 24);
/// A token that ends sooner is of so little use that half of its life is no measure any more: one
/// that is over as it comes would be refreshed without end.
const SHORTEST_LIFE: Duration = Duration::from_secs(30);
const REST_WITHOUT_LIFE: Duration = Duration::from_mins(1);

/// Returns when an access token ends that was issued just now.
pub fn access_expires_at(expires_in: Option<Duration>, now: OffsetDateTime) -> OffsetDateTime {
    now + expires_in.unwrap_or(ASSUMED_LIFE)
}

/// Returns when to refresh: five minutes or a tenth of its life before the access token ends, but
/// never in the first half of it, at most each minute if it has hardly any life, and at least
/// weekly. An end of the refresh token that is over does not count: it just worked. `spread` moves it
/// up to half the margin earlier, so that grants which were stored together do not come due together.
pub fn refresh_due_at(
    now: OffsetDateTime,
    access_expires_at: OffsetDateTime,
    refresh_expires_at: Option<OffsetDateTime>,
    spread: u8,
) -> OffsetDateTime {
    let ahead = refresh_expires_at.filter(|end| *end > now);
    let first_end = ahead.map_or(access_expires_at, |end| end.min(access_expires_at));
    let life = Duration::try_from(first_end - now).unwrap_or_default();
    if life < SHORTEST_LIFE {
        return now + REST_WITHOUT_LIFE;
    }
    let margin = SMALLEST_MARGIN.max(life / 10);
    let early = margin / 2 * u32::from(spread) / u32::from(u8::MAX);
    let rest = life.saturating_sub(margin + early).max(life / 2);
    now + rest.min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_come_before_the_end_and_not_at_once() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let minutes = |minutes: i64| now + time::Duration::minutes(minutes);
        let day = 24 * 60;
        for (access, refresh, spread, due) in [
            (60, None, 0, Duration::from_mins(54)),
            (60, None, 255, Duration::from_mins(51)),
            (20, None, 0, Duration::from_mins(15)),
            (8, None, 0, Duration::from_mins(4)),
            (8, None, 255, Duration::from_mins(4)),
            (1, None, 255, Duration::from_secs(30)),
            (0, None, 255, Duration::from_mins(1)),
            (-5, None, 0, Duration::from_mins(1)),
            (day, None, 0, Duration::from_mins(24 * 60 - 144)),
            (365 * day, None, 0, LONGEST_REST),
            (day, Some(60), 0, Duration::from_mins(54)),
            (60, Some(0), 0, Duration::from_mins(54)),
            (60, Some(-day), 0, Duration::from_mins(54)),
        ] {
            let due_at = refresh_due_at(now, minutes(access), refresh.map(minutes), spread);
            assert_eq!(due_at - now, due, "{access} {refresh:?} {spread}");
        }
    }

    #[test]
    fn no_answer_leads_to_refreshes_without_rest() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let end = start + Duration::from_mins(30);
        let mut now = start;
        let mut refreshes = 0;
        while now < start + Duration::from_hours(2) {
            now = refresh_due_at(now, now + Duration::from_hours(1), Some(end), 255);
            refreshes += 1;
        }

        assert!(refreshes < 12, "{refreshes}");
    }

    #[test]
    fn a_token_without_an_end_is_given_one() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(access_expires_at(None, now) - now, ASSUMED_LIFE);
        let short = Duration::from_mins(1);
        assert_eq!(access_expires_at(Some(short), now) - now, short);
    }
}
