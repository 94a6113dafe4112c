use crate::command::run;

const WRITTEN: &str = include_str!("../../../../deploy/nats/users.conf");

#[tokio::test]
async fn the_users_in_deploy_are_those_that_the_services_need() {
    let printed = run(&["nats-users"], &[]).await;

    assert_eq!(printed.code, Some(0), "{}", printed.output);
    assert!(
        printed.output == WRITTEN,
        "write it anew: cargo run -- nats-users > deploy/nats/users.conf"
    );
}

#[tokio::test]
async fn a_prefix_stands_before_subjects_and_streams_alike() {
    let printed = run(&["nats-users"], &[("MAILMESH_NATS__PREFIX", "mesh7")]).await;

    for right in [
        "\"mesh7.mail.received.*\"",
        "\"$JS.API.STREAM.INFO.mesh7_EVENTS\"",
        "\"$JS.API.DIRECT.GET.mesh7_MAIL_RAW.mesh7.raw.>\"",
        "\"$JS.ACK.*.*.mesh7_MAIL_SEND.outbound-sender-send-mail.>\"",
    ] {
        assert!(printed.output.contains(right), "{right}");
    }
}
