use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use mailmesh_embedded::{EmbeddedError, StopSignal, Supervised};

use crate::scratch::Scratch;

async fn start(scratch: &Scratch, script: &str) -> Result<Supervised, EmbeddedError> {
    let arguments = vec!["-c".into(), script.into()];
    let log = scratch.path().join("log");
    Supervised::start(
        "a shell",
        Path::new("/bin/sh"),
        arguments,
        &log,
        StopSignal::Terminate,
    )
    .await
}

fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_child_stops_when_its_parent_lets_go() {
    let scratch = Scratch::new().unwrap();
    let child = start(&scratch, "exec sleep 600").await.unwrap();
    let pid = child.pid();
    assert!(is_alive(pid));

    drop(child);

    let gone = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_child_that_will_not_stop_is_killed() {
    let scratch = Scratch::new().unwrap();
    let mut child = start(
        &scratch,
        "trap '' TERM; echo ready; while :; do sleep 1; done",
    )
    .await
    .unwrap();
    let log = scratch.path().join("log");
    let ready = async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"));
    child.ready(Duration::from_secs(10), ready).await.unwrap();

    child.stop(Duration::from_millis(100)).await;

    assert!(!is_alive(child.pid()));
}

#[tokio::test]
async fn an_early_end_is_reported_with_the_log() {
    let scratch = Scratch::new().unwrap();
    let mut child = start(&scratch, "echo no room; exit 3").await.unwrap();

    let error = child
        .ready(Duration::from_secs(10), async || false)
        .await
        .unwrap_err();

    let EmbeddedError::Exited { status, log, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((status.code(), status.signal()), (Some(3), None));
    assert!(log.contains("no room"), "{log}");
}

#[tokio::test]
async fn a_child_that_is_never_ready_is_reported() {
    let scratch = Scratch::new().unwrap();
    let mut child = start(&scratch, "exec sleep 600").await.unwrap();

    let error = child
        .ready(Duration::from_millis(50), async || false)
        .await
        .unwrap_err();

    assert!(matches!(error, EmbeddedError::NotReady { .. }), "{error}");
}
