//! SMTP through [`mailmesh_mail::MailTransport`], as services use it.

use std::time::Duration;

use mailmesh_domain::VerdictKind;
use mailmesh_mail::MailTransport;
use mailmesh_mail::smtp::{Connection, SmtpTransport};
use mailmesh_mail::transport::{CommitResult, FailureDetail, Preparation, Scope, TransportFailure};
use tokio::time::Instant;

use super::delivery::{RAW, envelope};
use super::peer::{Peer, TestResult};
use super::stage::{deliver, take_content};

fn transport(connection: Connection) -> Box<dyn MailTransport> {
    Box::new(SmtpTransport::new(connection))
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// Sends one mail to two recipients; returns what came of it and whether another could follow.
async fn send(connection: Connection, deadline: Instant) -> TestResult<(CommitResult, bool)> {
    let mut transport = transport(connection);
    let envelope = envelope(&["a@b.c", "no@b.c"])?;
    let prepared = match transport.prepare(&envelope, RAW).await {
        Ok(Preparation::Ready(prepared)) => prepared,
        other => return Err(format!("not ready: {other:?}").into()),
    };
    let committed = prepared.commit_before(deadline).await;
    let is_reusable = transport.is_reusable();
    transport.close().await;
    Ok((committed, is_reusable))
}

async fn prepare_failure(connection: Connection) -> TestResult<TransportFailure> {
    let mut transport = transport(connection);
    let envelope = envelope(&["a@b.c"])?;
    match transport.prepare(&envelope, RAW).await {
        Ok(_) => Err("it was accepted".into()),
        Err(failure) => Ok(failure),
    }
}

async fn take_one_of_two(peer: &mut Peer) -> TestResult {
    peer.answer("MAIL", "250 ok").await?;
    peer.answer("RCPT", "250 2.1.5 ok").await?;
    peer.answer("RCPT", "550 5.1.1 no such user").await?;
    peer.answer("DATA", "354 go").await
}

#[tokio::test]
async fn commit_tells_each_recipient_what_became_of_the_mail() {
    let script = async |peer: &mut Peer| {
        take_one_of_two(peer).await?;
        peer.content().await?;
        peer.say("250 2.0.0 queued").await?;
        peer.answer("QUIT", "221 bye").await
    };
    let sending = async |connection| send(connection, in_a_minute()).await;

    let (committed, is_reusable) = deliver("", script, sending).await.unwrap();

    let CommitResult::Accepted { recipients, reply } = committed else {
        panic!("{committed:?}");
    };
    assert_eq!(reply, "250 2.0.0 queued");
    assert!(recipients[0].is_accepted() && is_reusable);
    let refusal = recipients[1].refusal.as_ref().unwrap();
    assert_eq!(recipients[1].reply, "550 5.1.1 no such user");
    assert_eq!(refusal.code, "550 5.1.1");
    assert_eq!(refusal.verdict().kind, VerdictKind::Permanent);
}

#[tokio::test]
async fn commit_tells_unsent_from_uncertain() {
    for (reply, is_uncertain) in [(Some("554 5.7.1 spam"), false), (None, true)] {
        let script = async |peer: &mut Peer| {
            take_one_of_two(peer).await?;
            peer.content().await?;
            match reply {
                Some(reply) => peer.say(reply).await,
                None => Ok(()),
            }
        };
        let sending = async |connection| send(connection, in_a_minute()).await;

        let (committed, _) = deliver("", script, sending).await.unwrap();

        match committed {
            CommitResult::Unsent(failure) if !is_uncertain => {
                assert_eq!(failure.detail, FailureDetail::ContentRefused);
                assert_eq!(failure.code.as_deref(), Some("554 5.7.1"));
                assert_eq!(
                    failure.what,
                    "The server refused the mail with 554 5.7.1 (554 5.7.1 spam)"
                );
            }
            CommitResult::Uncertain { recipients, .. } if is_uncertain => {
                assert!(recipients[0].is_accepted() && !recipients[1].is_accepted());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn mail_whose_deadline_is_over_is_never_committed() {
    let script = async |peer: &mut Peer| {
        take_one_of_two(peer).await?;
        match peer.content().await? {
            None => Ok(()),
            Some(_) => Err("the dot was sent".into()),
        }
    };
    let late = async |connection| {
        let over = Instant::now() - Duration::from_secs(1);
        send(connection, over).await
    };

    let (committed, is_reusable) = deliver("", script, late).await.unwrap();

    assert!(matches!(committed, CommitResult::Unsent(_)) && !is_reusable);
}

#[tokio::test]
async fn mail_that_is_abandoned_is_never_committed() {
    let script = async |peer: &mut Peer| {
        take_content(peer).await?;
        match peer.content().await? {
            None => Ok(()),
            Some(_) => Err("the dot was sent".into()),
        }
    };
    let abandoning = async |connection| {
        let mut transport = transport(connection);
        let envelope = envelope(&["a@b.c"])?;
        match transport.prepare(&envelope, RAW).await {
            Ok(Preparation::Ready(prepared)) => prepared.abandon().await,
            other => return Err(format!("not ready: {other:?}").into()),
        }
        Ok(transport.is_reusable())
    };

    let is_reusable = deliver("", script, abandoning).await.unwrap();

    assert!(!is_reusable);
}

#[tokio::test]
async fn mail_that_an_idle_connection_did_not_try_may_go_over_another() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let script = async |peer: &mut Peer| {
        peer.say("421 4.4.2 idle for too long").await?;
        peer.finish().await?;
        tell.send(()).ok();
        Ok(())
    };
    let preparing = async |connection| {
        told.await?;
        prepare_failure(connection).await
    };

    let failure = deliver("", script, preparing).await.unwrap();

    assert_eq!(failure.detail, FailureDetail::NotTried);
    assert_eq!(failure.scope, Scope::Host);
}
