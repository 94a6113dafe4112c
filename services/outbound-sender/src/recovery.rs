//! Ends orphaned attempts: of replicas that died, and of claims of this one whose answer was lost.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_domain::{AccountId, FailureCause, Key};
use mailmesh_events::{EncodedEvent, Problem};
use mailmesh_store::outbound_mail::RecoveredAttempts;
use mailmesh_store::{StoreError, Tx, account, outbound_mail, outbox};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::{ServiceContext, wake_holders};
use crate::event;
use crate::failure::{problem_from, uncertain_mail};
use crate::metric;

/// Interval of looking for orphaned attempts.
const RECOVER_EVERY: Duration = Duration::from_secs(5);
/// Claims unknown to this process are orphaned after this long.
const LOST_AFTER: Duration = Duration::from_mins(2);
/// How long attempts of a released account are looked for: a claim may have been on its way.
const LOOK_AFTER_RELEASE: Duration = Duration::from_mins(4);

/// Recovers again and again until `stop`.
pub(crate) async fn run(context: Arc<ServiceContext>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(RECOVER_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = context.recover_soon.notified() => {}
        }
        if let Err(error) = recover(&context).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Attempts that were left behind wait for the database"
            );
        }
    }
}

/// Ends what is left behind on the accounts that this replica works on, or did a short while ago.
async fn recover(context: &ServiceContext) -> Result<(), StoreError> {
    let registry = &context.registry;
    let ids = registry.list();
    // Other replicas end only attempts of dead ones, so ours are ended here.
    let ours: Vec<AccountId> = ids
        .iter()
        .copied()
        .chain(registry.recently_released())
        .collect();
    if ours.is_empty() {
        return Ok(());
    }
    let replica = &context.replica;
    let now = replica.clock.now();
    let problem = left_behind();
    let busy = context.in_flight.accounts();
    let in_flight = context.in_flight.list();
    let lost = (now - LOST_AFTER, now);
    let mut tx = replica.database.begin().await?;
    let others = outbound_mail::recover(&mut tx, &ids, replica.id, &problem, now).await?;
    let ours =
        outbound_mail::recover_lost(&mut tx, &ours, replica.id, &in_flight, &problem, lost).await?;
    let recovered = [others, ours];
    let events = events_of(replica, &mut tx, &recovered, &problem).await?;
    outbox::insert(&mut tx, replica.id, &events, now).await?;
    tx.commit().await?;
    metric::count("uncertain", events.len());
    if !events.is_empty() {
        replica.outbox.wake();
    }
    let requeued: Vec<AccountId> = recovered
        .iter()
        .flat_map(|each| each.requeued.iter().copied())
        .collect();
    wake_holders(replica, registry, requeued).await;
    registry.forget_released(&busy, LOOK_AFTER_RELEASE);
    Ok(())
}

async fn events_of(
    replica: &Replica,
    tx: &mut Tx,
    recovered: &[RecoveredAttempts],
    problem: &Problem,
) -> Result<Vec<EncodedEvent>, StoreError> {
    let requeued: usize = recovered.iter().map(|each| each.requeued.len()).sum();
    let uncertain = || recovered.iter().flat_map(|each| &each.uncertain);
    if requeued + uncertain().count() > 0 {
        info!(
            requeued,
            uncertain = uncertain().count(),
            "Attempts that were left behind have ended"
        );
    }
    let ids: HashSet<AccountId> = uncertain().map(|mail| mail.account_id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<AccountId> = ids.into_iter().collect();
    let accounts = account::list_by_ids(tx, &ids).await?.into_iter();
    let keys: HashMap<AccountId, Key> = accounts.map(|one| (one.id, one.key)).collect();
    let events = uncertain().filter_map(|mail| {
        let key = keys.get(&mail.account_id)?;
        let problem = problem.clone().with_mail(uncertain_mail(mail));
        Some(event::encode_uncertain(replica, key, mail, problem))
    });
    Ok(events.flatten().collect())
}

fn left_behind() -> Problem {
    let what = "The process that sent the mail ended before it had the server's final reply";
    problem_from(what, FailureCause::MailUncertain)
}
