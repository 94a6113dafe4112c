//! What `mailmesh doctor` says of a NATS that cannot be used: each cause has a cure of its own.

use mailmesh_testkit::{TestFolder, own_nats_with};

use crate::command::run;

const USERS: &str = "accounts { MESH { jetstream: enabled, users: [
    { user: \"all\", password: \"right\" },
    { user: \"own\", password: \"right\", permissions: { publish: \">\", subscribe: \"_INBOX_own.>\" } },
    { user: \"poor\", password: \"right\", permissions: { publish: \"mail.send\", subscribe: \"_INBOX.>\" } },
] }, OTHER { users: [ { user: \"none\", password: \"right\" } ] } }\n";

/// Returns the finding about NATS: what, and the advice beneath.
async fn finding(url: &str, more: &[(&str, &str)]) -> (String, String) {
    let size = "16777216";
    let mut variables = vec![
        ("MAILMESH_NATS__URL", url),
        ("MAILMESH_NATS__STREAMS__EVENTS_MAX_BYTES", size),
        ("MAILMESH_NATS__STREAMS__MAIL_SEND_MAX_BYTES", size),
        ("MAILMESH_NATS__STREAMS__RAW_MAX_BYTES", size),
        ("MAILMESH_NATS__STREAMS__DEAD_LETTERS_MAX_BYTES", size),
    ];
    variables.extend(more);
    let output = run(&["doctor"], &variables).await.output;
    let mut lines = output.lines().skip_while(|line| !line.contains("NATS at"));
    let mut next = || lines.next().unwrap_or_default().to_owned();
    (next(), next())
}

#[tokio::test]
async fn each_cause_has_its_own_advice() {
    let folder = TestFolder::new("doctor-nats").unwrap();
    let server = own_nats_with(&folder, USERS).await.unwrap();
    let port = server.port();
    let at = |user: &str, password: &str| format!("nats://{user}:{password}@127.0.0.1:{port}");

    for (url, more, problem, advice) in [
        (at("all", "right"), None, "ok ", ""),
        (
            at("all", "wrong"),
            None,
            "refused the sign-in",
            "user and password",
        ),
        (
            at("own", "right"),
            None,
            "may not subscribe to _INBOX.",
            "Set nats.inbox_prefix",
        ),
        (
            at("own", "right"),
            Some(("MAILMESH_NATS__INBOX_PREFIX", "_INBOX_own")),
            "ok ",
            "",
        ),
        (
            at("poor", "right"),
            None,
            "may not publish to $JS.API.",
            "Give this NATS user the right",
        ),
        (
            at("none", "right"),
            None,
            "has no JetStream",
            "enable it for the account",
        ),
        (
            "nats://127.0.0.1:1".to_owned(),
            None,
            "no NATS server answered",
            "Start nats-server 2.12",
        ),
    ] {
        let (told, cure) = finding(&url, more.as_slice()).await;

        assert!(told.contains(problem), "{url}: {told}");
        assert!(cure.contains(advice), "{url}: {cure}");
        assert!(!told.contains("deadline"), "{told}");
    }
}
