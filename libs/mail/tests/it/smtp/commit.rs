use mailmesh_domain::VerdictKind as K;
use mailmesh_mail::smtp::{CommitError, Connection, UncertainCause, WireError};
use mailmesh_mail::transport::Scope as S;

use super::peer::{Peer, TestResult};
use super::stage::{deliver, prepare, take_content};

async fn commit_error(mut connection: Connection) -> TestResult<(CommitError, bool)> {
    match prepare(&mut connection).await?.commit().await {
        Ok(reply) => Err(format!("accepted: {reply}").into()),
        Err(error) => Ok((error, connection.is_reusable())),
    }
}

#[tokio::test]
async fn refusal_after_the_dot_is_certain() {
    for (reply, kind, scope, is_still_usable) in [
        ("550 5.7.1 spam", K::Permanent, S::Message, true),
        ("451 4.7.500 busy", K::Transient, S::Message, true),
        (
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
            K::Throttled,
            S::Account,
            true,
        ),
        (
            "421 4.7.28 rate of mail is unusual",
            K::Throttled,
            S::Account,
            false,
        ),
    ] {
        let script = async |peer: &mut Peer| {
            take_content(peer).await?;
            peer.content().await?;
            peer.say(reply).await
        };
        let (error, is_reusable) = deliver("", script, commit_error).await.unwrap();

        assert!(matches!(error, CommitError::Refused { .. }), "{error}");
        assert_eq!(
            (error.verdict().kind, error.scope(), is_reusable),
            (kind, scope, is_still_usable)
        );
    }
}

#[tokio::test]
async fn what_does_not_tell_after_the_dot_is_uncertain() {
    for reply in ["421 4.4.2 timeout", "421 closing", "354 go on", "nonsense"] {
        let script = async |peer: &mut Peer| {
            take_content(peer).await?;
            peer.content().await?;
            peer.say(reply).await
        };
        let (error, is_reusable) = deliver("", script, commit_error).await.unwrap();

        assert!(error.is_uncertain() && !is_reusable, "{reply}");
        assert!(!matches!(error.verdict().kind, K::Transient | K::Throttled));
    }
}

#[tokio::test]
async fn server_that_dies_or_sleeps_after_the_dot_leaves_the_mail_uncertain() {
    let dies = async |peer: &mut Peer| {
        take_content(peer).await?;
        peer.content().await?;
        Ok(())
    };
    let (error, _) = deliver("", dies, commit_error).await.unwrap();
    let CommitError::Uncertain {
        source: UncertainCause::Wire { source },
    } = error
    else {
        panic!("{error}");
    };
    assert!(matches!(source, WireError::Closed));

    let sleeps = async |peer: &mut Peer| {
        take_content(peer).await?;
        peer.content().await?;
        assert!(peer.is_closed().await?);
        Ok(())
    };
    let (error, _) = deliver("", sleeps, commit_error).await.unwrap();
    let CommitError::Uncertain {
        source: UncertainCause::Wire { source },
    } = error
    else {
        panic!("{error}");
    };
    assert!(matches!(source, WireError::TimedOut));
}

/// Reads the content, but not its dot, and does what it is told; the client waits for that before it commits.
async fn before_the_dot(last_words: &str) -> TestResult<CommitError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    deliver(
        "",
        async |peer| {
            take_content(peer).await?;
            for _ in 0..3 {
                peer.expect("").await?;
            }
            if !last_words.is_empty() {
                peer.say(last_words).await?;
            }
            // The end of the stream goes out with the peer; a byte unread would make it a reset.
            peer.finish().await?;
            tell.send(()).ok();
            assert_eq!(peer.content().await?, None, "the dot was sent");
            Ok(())
        },
        async |mut connection| {
            let prepared = prepare(&mut connection).await?;
            told.await?;
            match prepared.commit().await {
                Ok(reply) => Err(format!("accepted: {reply}").into()),
                Err(error) => Ok(error),
            }
        },
    )
    .await
}

#[tokio::test]
async fn server_that_ends_before_the_dot_surely_has_no_mail() {
    assert!(matches!(
        before_the_dot("").await.unwrap(),
        CommitError::Unsent {
            source: WireError::Closed
        }
    ));
    let error = before_the_dot("552 5.3.4 too big").await.unwrap();
    assert!(matches!(&error, CommitError::Refused { .. }));
    assert_eq!(error.verdict().kind, K::Permanent);
    assert!(matches!(
        before_the_dot("250 ok").await.unwrap(),
        CommitError::Unsent {
            source: WireError::Unsolicited
        }
    ));
}

#[tokio::test]
async fn abandoned_or_dropped_mail_is_never_ended_with_a_dot() {
    for is_dropped in [true, false] {
        let is_reusable = deliver(
            "",
            async |peer| {
                take_content(peer).await?;
                assert_eq!(peer.content().await?, None);
                Ok(())
            },
            async |mut connection| {
                let prepared = prepare(&mut connection).await?;
                if is_dropped {
                    drop(prepared);
                } else {
                    prepared.abandon().await;
                }
                Ok(connection.is_reusable())
            },
        )
        .await
        .unwrap();

        assert!(!is_reusable);
    }
}
