use mailmesh_bus::{Bus, BusError, BusSettings};
use mailmesh_embedded::{Cache, Locator, Nats, NatsOptions, Silent, find_nats};

use crate::command::{Folder, run};

const SERVER: &str = include_str!("../../../../deploy/nats/mailmesh.conf");
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

/// In this order: `mailmesh credentials`, `mailmesh nats-users > users.conf`, nats-server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_users_sign_in_with_the_passwords_that_credentials_makes() {
    let folder = Folder::new("users");
    let path = |name: &str| folder.path().join(name);
    let out = path("nats/credentials").to_str().unwrap().to_owned();
    let made = run(&["credentials", "--out", &out], &[]).await;
    assert_eq!(made.code, Some(0), "{}", made.output);
    let users = run(&["nats-users"], &[]).await;
    folder.write("nats/users.conf", &users.output);

    let binary = find_nats(&Locator::new(Cache::of_user()), &Silent).await;
    let mut options = NatsOptions::new(path("nats"));
    assert!(SERVER.contains("\ninclude ./users.conf\n"));
    options.extra_config = "include ./users.conf\n".to_owned();
    let nats = Nats::start(binary.unwrap(), options).await.unwrap();

    let address = format!("127.0.0.1:{}", nats.port());
    for user in ["outbound-sender", "operator", "clients", "support-desk"] {
        let password =
            std::fs::read_to_string(path("nats/credentials").join(user).join("nats.password"));
        let password = password.unwrap();
        let inbox = if user == "clients" {
            "_INBOX".to_owned()
        } else {
            format!("_INBOX_{user}")
        };
        let sign_in = |password: &str| BusSettings {
            url: format!("nats://{user}:{password}@{address}"),
            inbox_prefix: inbox.clone(),
            ..BusSettings::default()
        };
        let bus = Bus::connect(&sign_in(password.trim())).await.unwrap();
        if user == "operator" {
            bus.ensure_streams().await.unwrap();
        }
        let wrong = Bus::connect(&sign_in("wrong")).await;
        assert!(
            matches!(wrong, Err(BusError::SignIn { .. })),
            "{user}: {wrong:?}"
        );
    }
}
