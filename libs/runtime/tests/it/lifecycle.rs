use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use mailmesh_runtime::Lifecycle;
use mailmesh_runtime::lifecycle::TaskFault;

const GRACE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn asked_for_stop_waits_for_the_tasks_and_exits_with_0() {
    let lifecycle = Lifecycle::new("mesh");
    let finished = Arc::new(AtomicBool::new(false));
    let (stop, done) = (lifecycle.stop_token(), Arc::clone(&finished));
    lifecycle.spawn("slow", async move {
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        done.store(true, Ordering::SeqCst);
    });

    lifecycle.stop();
    let report = lifecycle.run_until_stopped(GRACE).await;

    assert!(finished.load(Ordering::SeqCst));
    assert_eq!(report.exit_code(), 0, "{report:?}");
}

#[tokio::test]
async fn panic_of_one_task_stops_the_others_and_is_the_reason() {
    let lifecycle = Lifecycle::new("mesh");
    let sender = lifecycle.child("outbound-sender");
    let stop = lifecycle.child("admin").stop_token();
    lifecycle
        .child("admin")
        .spawn("http", async move { stop.cancelled().await });
    let stamps = 0;
    sender.spawn("loop", async move { assert!(stamps > 0, "no more stamps") });

    let report = lifecycle.run_until_stopped(GRACE).await;

    assert_eq!(report.exit_code(), 1);
    assert_eq!(
        report.fault,
        Some(TaskFault::Panicked {
            task: "mesh/outbound-sender/loop".to_owned(),
            message: "no more stamps".to_owned(),
        })
    );
    assert!(report.busy.is_empty(), "{report:?}");
}

#[tokio::test]
async fn task_that_ends_by_itself_stops_the_process() {
    let lifecycle = Lifecycle::new("mesh");
    lifecycle.spawn("loop", async {});

    let report = lifecycle.run_until_stopped(GRACE).await;

    let task = "mesh/loop".to_owned();
    assert_eq!(report.fault, Some(TaskFault::Ended { task }));
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test]
async fn task_that_fails_stops_the_process_with_all_causes() {
    let lifecycle = Lifecycle::new("mesh");
    lifecycle.spawn_once("migrate", async {
        Err::<(), _>(anyhow!("disk full").context("cannot migrate"))
    });

    let report = lifecycle.run_until_stopped(GRACE).await;

    assert_eq!(
        report.fault.map(|fault| fault.to_string()).as_deref(),
        Some("task mesh/migrate failed: cannot migrate: disk full")
    );
}

#[tokio::test]
async fn task_that_may_end_does_not_stop_the_process() {
    let lifecycle = Lifecycle::new("mesh");
    let (sender, ended) = tokio::sync::oneshot::channel();
    lifecycle.spawn_once("warm-up", async move {
        sender.send(()).map_err(|()| anyhow!("nobody waits"))
    });
    ended.await.unwrap();
    let stopper = lifecycle.clone();
    lifecycle.spawn_once("stop", async move { stopper.stop() });

    let report = lifecycle.run_until_stopped(GRACE).await;

    assert_eq!(report.exit_code(), 0, "{report:?}");
}

#[tokio::test]
async fn who_is_still_busy_is_named() {
    let lifecycle = Lifecycle::new("mesh");
    lifecycle
        .child("fetcher")
        .spawn("stuck", std::future::pending::<()>());

    lifecycle.stop();
    let report = lifecycle
        .run_until_stopped(Duration::from_millis(100))
        .await;

    assert_eq!(report.busy, ["mesh/fetcher/stuck"]);
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test]
async fn stopping_a_part_stops_it_alone() {
    let lifecycle = Lifecycle::new("mesh");
    let part = lifecycle.child("part");
    let stop = part.stop_token();
    part.spawn("loop", async move { stop.cancelled().await });
    let stop = lifecycle.stop_token();
    lifecycle.spawn("main", async move { stop.cancelled().await });

    part.stop();
    while lifecycle.running().len() > 1 {
        tokio::task::yield_now().await;
    }

    assert!(!lifecycle.is_stopping());
    assert_eq!(lifecycle.running(), ["mesh/main"]);
    lifecycle.stop();
    let report = lifecycle.run_until_stopped(GRACE).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
}

/// Notes when a task ends, after it was told to stop and took its time.
fn noted(
    part: &Lifecycle,
    name: &'static str,
    ended: &Arc<Mutex<Vec<&'static str>>>,
) -> impl Future<Output = ()> + Send + 'static {
    let (stop, ended) = (part.stop_token(), Arc::clone(ended));
    async move {
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(name);
    }
}

#[tokio::test]
async fn part_is_told_to_stop_when_the_tasks_of_the_part_before_have_ended() {
    let lifecycle = Lifecycle::new("mesh");
    let senders = lifecycle.child("send");
    let connection = senders.child("connection");
    let recorder = lifecycle.child_after("record", &senders);
    let membership = lifecycle.child_after("membership", &recorder);
    let ended = Arc::default();
    membership.spawn("membership", noted(&membership, "membership", &ended));
    recorder.spawn("recorder", noted(&recorder, "recorder", &ended));
    connection.spawn("connection", noted(&connection, "connection", &ended));

    lifecycle.stop();
    let report = lifecycle.run_until_stopped(GRACE).await;

    assert_eq!(report.exit_code(), 0, "{report:?}");
    let ended = ended.lock().unwrap();
    assert_eq!(*ended, ["connection", "recorder", "membership"]);
}

#[tokio::test]
async fn part_that_waits_for_a_stuck_one_is_named_with_it() {
    let lifecycle = Lifecycle::new("mesh");
    let senders = lifecycle.child("send");
    let recorder = lifecycle.child_after("record", &senders);
    senders.spawn("stuck", std::future::pending::<()>());
    let stop = recorder.stop_token();
    recorder.spawn("loop", async move { stop.cancelled().await });

    lifecycle.stop();
    let report = lifecycle
        .run_until_stopped(Duration::from_millis(100))
        .await;

    assert_eq!(report.busy, ["mesh/send/stuck", "mesh/record/loop"]);
}

#[tokio::test]
async fn part_without_tasks_holds_up_nobody() {
    let lifecycle = Lifecycle::new("mesh");
    let idle = lifecycle.child("idle");
    let after = lifecycle.child_after("after", &idle);
    let stop = after.stop_token();
    after.spawn("loop", async move { stop.cancelled().await });

    lifecycle.stop();
    let report = lifecycle.run_until_stopped(GRACE).await;

    assert_eq!(report.exit_code(), 0, "{report:?}");
}

#[tokio::test]
async fn later_part_may_run_out_of_work_once_the_process_stops() {
    let lifecycle = Lifecycle::new("mesh");
    let senders = lifecycle.child("send");
    let recorder = lifecycle.child_after("record", &senders);
    let (handle, mut handles) = tokio::sync::mpsc::channel::<()>(1);
    let (ended, after_end) = tokio::sync::oneshot::channel::<()>();
    let stop = senders.stop_token();
    recorder.spawn("recorder", async move {
        handles.recv().await;
        drop(ended);
    });
    senders.spawn("sender", async move {
        stop.cancelled().await;
        drop(handle);
        after_end.await.ok();
    });

    let report = lifecycle.end(GRACE).await;

    assert_eq!(report.exit_code(), 0, "{report:?}");
}

#[tokio::test]
async fn abandoned_tasks_are_dropped_before_they_hear_of_a_stop() {
    let lifecycle = Lifecycle::new("mesh");
    let work = lifecycle.child("work");
    let after = lifecycle.child_after("after", &work);
    let finished = Arc::default();
    work.spawn("work", noted(&work, "work", &finished));
    after.spawn("after", noted(&after, "after", &finished));

    lifecycle.abandon().await;

    assert!(!lifecycle.is_stopping());
    assert!(lifecycle.running().is_empty());
    assert!(finished.lock().unwrap().is_empty());
}
