//! Which mails are asked for with one command.

use std::collections::BTreeMap;

use mailmesh_domain::VerdictKind;
use mailmesh_mail::imap::Session;
use tracing::debug;

use crate::account::Worker;
use crate::budget::Share;
use crate::failure::Failure;
use crate::intake::UNSIZED_MAILS;

const SMALL_SLICE: u32 = 64 * 1024;
/// One mail comes in, one is handed over, one waits for its share of what is ready.
const ON_THE_WAY: usize = 3;
/// So many sizes are asked for with one command.
const SIZES: usize = 5_000;

/// What the server claims of the sizes of mails that wait.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// None if it was not asked or did not tell.
    sizes: Option<BTreeMap<u32, u32>>,
}

impl Plan {
    /// Returns how many of the mails are asked for together. A mail that comes in slices is the last
    /// one: what came after it would have to wait in memory, or be fetched again.
    fn count(&self, uids: &[u32], slice_bytes: u32) -> usize {
        let Some(sizes) = &self.sizes else {
            return UNSIZED_MAILS;
        };
        // Exchange only estimates.
        let large = slice_bytes - slice_bytes / 8;
        let is_large = |uid: &u32| sizes.get(uid).is_some_and(|size| *size >= large);
        let before = uids.iter().position(is_large);
        before.map_or(uids.len(), |before| before + 1)
    }

    /// Returns how much of each mail is asked for: where all are small, no more than that is bound in
    /// memory for what the server may send.
    fn slice(&self, uids: &[u32], most: u32) -> u32 {
        let Some(sizes) = &self.sizes else {
            return most;
        };
        let mut known = uids.iter().map(|uid| sizes.get(uid).copied());
        let largest = known.try_fold(0, |largest, size| Some(largest.max(size?)));
        // Twice, as Exchange only estimates.
        largest.map_or(most, |size: u32| {
            size.saturating_mul(2).max(SMALL_SLICE).min(most)
        })
    }
}

impl Worker {
    /// Receives mails of the open folder in the order of their UIDs.
    pub(crate) async fn receive_all(
        &mut self,
        session: &mut Session,
        folder: &str,
        uids: &[u32],
    ) -> Result<(), Failure> {
        for window in uids.chunks(SIZES) {
            let plan = self.plan(session, window).await?;
            let mut rest = window;
            while !rest.is_empty() {
                if self.stop.is_cancelled() {
                    return Err(Failure::Stopping);
                }
                let size = self.chunk_size(folder, rest, &plan);
                let (chunk, later) = rest.split_at(size.clamp(1, rest.len()));
                let slice = plan.slice(chunk, self.context.settings.slice_bytes);
                Box::pin(self.receive_chunk(session, folder, chunk, slice)).await?;
                rest = later;
            }
        }
        Ok(())
    }

    /// Asks for the sizes where it could spare more than it costs.
    async fn plan(&mut self, session: &mut Session, uids: &[u32]) -> Result<Plan, Failure> {
        if uids.len() <= UNSIZED_MAILS || self.singly.is_some() || self.is_size_refused {
            return Ok(Plan::default());
        }
        let error = match session.sizes(uids).await {
            Ok(sizes) => return Ok(Plan { sizes: Some(sizes) }),
            Err(error) => error,
        };
        // One mail that breaks the answer must not stop the others: they come without it.
        self.is_size_refused = true;
        if !error.is_session_healthy() || error.verdict().kind == VerdictKind::Throttled {
            return Err(error.into());
        }
        debug!(
            error = &error as &dyn std::error::Error,
            "Sizes are not told"
        );
        Ok(Plan::default())
    }

    /// Waits for memory for what is on its way from the server.
    pub(crate) async fn make_room(&self, mails: usize, slice: u32) -> Result<Share, Failure> {
        let slice = usize::try_from(slice).unwrap_or(usize::MAX);
        let bytes = slice.saturating_mul(mails.min(ON_THE_WAY));
        let (budget, host) = (&self.context.budget, self.account.host());
        let taking = async {
            if mails <= UNSIZED_MAILS {
                budget.take_few(host, bytes).await
            } else {
                budget.take_many(host, bytes).await
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => Err(Failure::Stopping),
            share = taking => Ok(share),
        }
    }

    /// After a batch broke, its mails are asked for one by one, so that the good ones come; so is a
    /// mail that is suspected.
    fn chunk_size(&mut self, folder: &str, uids: &[u32], plan: &Plan) -> usize {
        let is_single = match (&self.singly, uids.first()) {
            (Some((name, last)), Some(uid)) if name == folder => uid <= last,
            _ => false,
        };
        if is_single {
            return 1;
        }
        if self.singly.as_ref().is_some_and(|(name, _)| name == folder) {
            self.singly = None;
        }
        let settings = &self.context.settings;
        let most = plan
            .count(uids, settings.slice_bytes)
            .min(settings.chunk_mails);
        let suspect = self
            .suspect
            .as_ref()
            .and_then(|suspect| uids.iter().position(|uid| suspect.is(folder, *uid)));
        suspect.map_or(most, |before| before.clamp(1, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_mail_is_the_last_of_its_command() {
        let plan = |sizes: &[(u32, u32)]| Plan {
            sizes: Some(sizes.iter().copied().collect()),
        };
        let uids: Vec<u32> = (1..=100).collect();

        assert_eq!(plan(&[]).count(&uids, 1_000), 100);
        assert_eq!(plan(&[(1, 5), (2, 800), (3, 900)]).count(&uids, 1_000), 3);
        assert_eq!(plan(&[(1, 2_000)]).count(&uids, 1_000), 1);
        assert_eq!(Plan::default().count(&uids, 1_000), UNSIZED_MAILS);
    }

    #[test]
    fn slice_fits_the_mails_as_far_as_they_are_known() {
        let sizes = [(1, 10_000), (2, 40_000), (3, 900_000)];
        let plan = Plan {
            sizes: Some(sizes.into_iter().collect()),
        };
        let most = 512 * 1024;

        assert_eq!(plan.slice(&[1], most), SMALL_SLICE);
        assert_eq!(plan.slice(&[1, 2], most), 80_000);
        assert_eq!(plan.slice(&[1, 2, 3], most), most);
        assert_eq!(plan.slice(&[1, 4], most), most);
        assert_eq!(Plan::default().slice(&[1], most), most);
    }
}
