//! Decides which mails are fetched together, and how much of each.

use std::collections::BTreeMap;
use std::error::Error;

use mailmesh_domain::VerdictKind;
use mailmesh_mail::source::{ListedMail, MailSource};
use tracing::debug;

use crate::failure::WatchFailure;
use crate::receive::mail_buffer::UNSIZED_MAILS;

/// Minimum slice, whatever small sizes the server claims.
const SMALL_SLICE: u32 = 64 * 1024;
/// Maximum mails per request for sizes.
pub(crate) const SIZED_MAILS: usize = 5_000;

/// Asks for sizes where that may save more than the round trip costs.
#[derive(Debug, Default)]
pub(crate) struct FetchPlanner {
    /// A request for sizes has failed.
    is_refused: bool,
}

/// Claimed sizes of the mails that are to be fetched.
#[derive(Debug, Default)]
pub(crate) struct FetchPlan {
    /// None if sizes were not requested, or the request failed.
    sizes: Option<BTreeMap<u64, u64>>,
}

impl FetchPlanner {
    /// Allows requests for sizes again, since the server works.
    pub(crate) const fn forget_refusal(&mut self) {
        self.is_refused = false;
    }

    pub(crate) async fn plan(
        &mut self,
        source: &mut dyn MailSource,
        mails: &[ListedMail],
    ) -> Result<FetchPlan, WatchFailure> {
        if mails.len() <= UNSIZED_MAILS || self.is_refused {
            return Ok(FetchPlan::default());
        }
        let ordinals: Vec<u64> = mails.iter().map(|mail| mail.ordinal).collect();
        let error = match source.sizes(&ordinals).await {
            Ok(sizes) => return Ok(FetchPlan { sizes: Some(sizes) }),
            Err(error) => error,
        };
        // One mail that breaks the response must not stop the others: they are fetched without sizes.
        self.is_refused = true;
        if !error.is_session_usable() || error.verdict().kind == VerdictKind::Throttled {
            return Err(error.into());
        }
        debug!(error = &error as &dyn Error, "Sizes are not told");
        Ok(FetchPlan::default())
    }
}

impl FetchPlan {
    /// Returns how many of the mails are asked for together. A mail that comes in slices is the last one: what came after
    /// it would have to wait in memory, or be fetched again.
    pub(crate) fn count(&self, mails: &[ListedMail], slice_bytes: u32) -> usize {
        let Some(sizes) = &self.sizes else {
            return UNSIZED_MAILS;
        };
        // An eighth below the slice, as Exchange only estimates sizes.
        let large = u64::from(slice_bytes - slice_bytes / 8);
        let is_large =
            |mail: &ListedMail| sizes.get(&mail.ordinal).is_some_and(|size| *size >= large);
        let before = mails.iter().position(is_large);
        before.map_or(mails.len(), |before| before + 1)
    }

    /// Returns how much of each mail is asked for: where all are small, no more than that is bound in memory for what the
    /// server may send.
    pub(crate) fn slice(&self, mails: &[ListedMail], most: u32) -> u32 {
        let Some(sizes) = &self.sizes else {
            return most;
        };
        let mut known = mails.iter().map(|mail| sizes.get(&mail.ordinal).copied());
        let largest = known.try_fold(0, |largest, size| Some(largest.max(size?)));
        // Twice, as Exchange only estimates.
        largest.map_or(most, |size: u64| {
            let twice = u32::try_from(size.saturating_mul(2)).unwrap_or(u32::MAX);
            twice.max(SMALL_SLICE).min(most)
        })
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::Position;

    use super::*;

    fn listed(ordinals: impl IntoIterator<Item = u64>) -> Vec<ListedMail> {
        let listed = ordinals.into_iter().map(|ordinal| ListedMail {
            ordinal,
            position: Position::imap(1, 1),
            bytes: None,
        });
        listed.collect()
    }

    #[test]
    fn large_mail_is_the_last_of_its_command() {
        let plan = |sizes: &[(u64, u64)]| FetchPlan {
            sizes: Some(sizes.iter().copied().collect()),
        };
        let mails = listed(1..=100);

        assert_eq!(plan(&[]).count(&mails, 1_000), 100);
        assert_eq!(plan(&[(1, 5), (2, 800), (3, 900)]).count(&mails, 1_000), 3);
        assert_eq!(plan(&[(1, 2_000)]).count(&mails, 1_000), 1);
        assert_eq!(FetchPlan::default().count(&mails, 1_000), UNSIZED_MAILS);
    }

    #[test]
    fn slice_fits_the_mails_as_far_as_they_are_known() {
        let sizes = [(1, 10_000), (2, 40_000), (3, 900_000)];
        let plan = FetchPlan {
            sizes: Some(sizes.into_iter().collect()),
        };
        let most = 512 * 1024;

        assert_eq!(plan.slice(&listed([1]), most), SMALL_SLICE);
        assert_eq!(plan.slice(&listed([1, 2]), most), 80_000);
        assert_eq!(plan.slice(&listed([1, 2, 3]), most), most);
        assert_eq!(plan.slice(&listed([1, 4]), most), most);
        assert_eq!(FetchPlan::default().slice(&listed([1]), most), most);
    }
}
