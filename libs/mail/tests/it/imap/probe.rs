use std::time::Duration;

use mailmesh_domain::{Direction, Encryption, History, MustAct, Protocol, VerdictKind};
use mailmesh_mail::{Credentials, Endpoint, Probe, ProbeStep, Server, probe};

use super::peer::{Peer, TestResult, play, server};

const LIMIT: Duration = Duration::from_secs(15);

async fn try_inbound(server: Server, folders: &[&str], limit: Duration) -> Probe {
    let endpoint = Endpoint {
        protocol: Protocol::Imap,
        direction: Direction::Inbound,
        server,
    };
    let folders: Vec<String> = folders.iter().map(|name| (*name).to_owned()).collect();
    probe(&endpoint, &Credentials::None, &folders, limit).await
}

fn opening(folder: &str) -> ProbeStep {
    ProbeStep::OpenFolder(folder.to_owned())
}

#[tokio::test]
async fn missing_folder_is_named_and_the_others_are_tried() -> TestResult {
    let opened = "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n";

    let tried = play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            peer.answer("EXAMINE \"A\"", opened).await?;
            let tag = peer.expect("EXAMINE \"B\"").await?;
            peer.say(&format!("{tag} NO [NONEXISTENT] no B\r\n"))
                .await?;
            peer.answer("EXAMINE \"C\"", opened).await?;
            peer.answer("LOGOUT", "* BYE\r\n").await
        },
        async |server| Ok(try_inbound(server, &["A", "B", "C"], LIMIT).await),
    )
    .await?;

    let steps: Vec<_> = tried
        .checks
        .iter()
        .map(|check| check.step.clone())
        .collect();
    assert_eq!(
        steps,
        [ProbeStep::SignIn, opening("A"), opening("B"), opening("C")]
    );
    let failures: Vec<_> = tried.failures().collect();
    assert_eq!(failures.len(), 1);
    let (step, error) = failures[0];
    assert_eq!(*step, opening("B"));
    assert_eq!(error.code().as_deref(), Some("NONEXISTENT"));
    assert_eq!(error.verdict().who, MustAct::Administrator);
    assert!(
        error
            .diagnosis()
            .responsibility(History::NEW)
            .action
            .contains("folder")
    );
    Ok(())
}

#[tokio::test]
async fn silence_ends_the_try_with_what_was_found_until_then() -> TestResult {
    let tried = play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            peer.wait_for_end().await
        },
        async |server| {
            let limit = Duration::from_secs(1);
            Ok(try_inbound(server, &["A", "B"], limit).await)
        },
    )
    .await?;

    let found: Vec<_> = tried
        .checks
        .iter()
        .map(|check| (check.step.clone(), check.result.is_ok()))
        .collect();
    assert_eq!(found, [(ProbeStep::SignIn, true), (opening("A"), false)]);
    let (_, error) = tried.failures().next().ok_or("nothing failed")?;
    assert_eq!(error.verdict().kind, VerdictKind::Transient);
    assert!(
        error
            .diagnosis()
            .responsibility(History::NEW)
            .action
            .contains("firewall")
    );
    Ok(())
}

#[tokio::test]
async fn sending_account_is_only_signed_in() -> TestResult {
    let tried = play(
        async |mut peer: Peer| {
            peer.say("220 hello\r\n").await?;
            peer.hear().await?;
            peer.say("250 hello\r\n").await?;
            assert_eq!(peer.hear().await?, "QUIT");
            peer.say("221 bye\r\n").await
        },
        async |server| {
            let endpoint = Endpoint {
                protocol: Protocol::Smtp,
                direction: Direction::Outbound,
                server,
            };
            Ok(probe(&endpoint, &Credentials::None, &[], LIMIT).await)
        },
    )
    .await?;

    assert_eq!(tried.checks.len(), 1);
    assert_eq!(tried.failures().count(), 0);
    Ok(())
}

#[tokio::test]
async fn nothing_is_opened_where_the_sign_in_fails() -> TestResult {
    let tried = try_inbound(server(1, Encryption::None)?, &["A"], LIMIT).await;

    assert_eq!(tried.checks.len(), 1);
    assert!(tried.failures().all(|(step, _)| *step == ProbeStep::SignIn));
    Ok(())
}
