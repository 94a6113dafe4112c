//! Commands that fail in computation each time, against a real database.

use mailmesh_accounts::{Connections, Overlap, Replica, WorkerRegistry};
use mailmesh_bus::Handler;
use mailmesh_domain::SystemClock;
use mailmesh_events::mail::MailRejected;
use mailmesh_store::outbox;
use mailmesh_testkit::MeshBase;
use tokio::sync::Notify;

use super::super::command_handler::CommandHandler;
use super::super::failed_computations::FailedComputations;
use super::*;
use crate::account_cache::AccountCache;
use crate::raw_cache::RawCache;

fn handler(replica: Replica, failed: FailedComputations) -> CommandHandler {
    CommandHandler {
        accounts: Arc::new(AccountCache::new(replica.database.clone())),
        replica,
        config: Arc::new(Config::default()),
        registry: WorkerRegistry::new(Overlap::WhileEnding),
        raws: Arc::new(RawCache::new(1_000)),
        is_full: Arc::new(Notify::new()),
        unknown: Key::try_new("unknown").unwrap(),
        failed: Arc::new(failed),
    }
}

#[tokio::test]
async fn command_that_fails_each_time_is_rejected_and_a_dead_letter_while_its_neighbours_go_on() {
    let base = MeshBase::fresh(Arc::new(SystemClock)).await.unwrap();
    let connections = Connections::new(base.database.clone(), base.bus.clone());
    let clock = Arc::clone(&base.clock);
    let (replica, _membership) = Replica::join("test", &connections, clock).await.unwrap();
    let failed = FailedComputations::default();
    let bad = sample::delivery(7);
    while !failed.record(&bad) {}
    let handler = handler(replica.clone(), failed);

    let batch = vec![sample::delivery(6), bad, sample::delivery(8)];
    let results = handler.finish(handler.prepare(batch).await).await;

    let results: Vec<String> = results.iter().map(|result| format!("{result:?}")).collect();
    assert!(results[1].contains("dead letter"), "{results:?}");
    assert_eq!([&results[0], &results[2]], ["Ok(())", "Ok(())"]);
    let mut tx = base.begin().await.unwrap();
    let rows = outbox::list(&mut tx, replica.id, 10).await.unwrap();
    let rejected = rows.iter().map(|row| {
        let event: MailRejected = serde_json::from_slice(&row.event.payload).unwrap();
        (
            event.stream_sequence,
            event.account.to_string(),
            event.field,
        )
    });
    let mut rejected: Vec<_> = rejected.collect();
    rejected.sort();
    // The neighbours' account is not known here.
    let account = || "support".to_owned();
    assert_eq!(
        rejected,
        [
            (6, account(), "account".to_owned()),
            (7, account(), String::new()),
            (8, account(), "account".to_owned())
        ]
    );
}
