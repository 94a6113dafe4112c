use anyhow::{Context, Result};
use mailmesh_bus::{FenceError, PublishError};

use crate::world::{bus, bus_with, outgoing, plain_client, settings, url};

#[tokio::test]
async fn stale_owner_is_refused_by_the_stream() -> Result<()> {
    let bus = bus().await?;
    let old = bus.take_fence("support").await?;
    let before = bus
        .publish_fenced_all(&old, vec![outgoing("mail.received.support", "1", b"x")])
        .await;
    assert!(before[0].is_ok(), "{before:?}");

    let new = bus.take_fence("support").await?;
    let late = bus
        .publish_fenced_all(
            &old,
            vec![
                outgoing("mail.received.support", "2", b"x"),
                outgoing("mail.received.support", "3", b"x"),
            ],
        )
        .await;
    let fresh = bus
        .publish_fenced_all(&new, vec![outgoing("mail.received.support", "2", b"x")])
        .await;

    assert!(new.token() > old.token());
    assert_eq!(late.len(), 2);
    for answer in late {
        assert!(
            matches!(answer, Err(PublishError::Fenced { .. })),
            "{answer:?}"
        );
    }
    assert!(
        matches!(&fresh[0], Ok(published) if !published.is_duplicate),
        "{fresh:?}"
    );
    Ok(())
}

#[tokio::test]
async fn of_two_who_take_it_at_once_only_one_can_publish() -> Result<()> {
    let bus = bus().await?;

    for round in 0..20 {
        let account = format!("account-{round}");
        let (left, right) = tokio::join!(bus.take_fence(&account), bus.take_fence(&account));

        let mut can_publish = 0;
        for (side, taken) in [("l", left), ("r", right)] {
            match taken {
                Ok(fence) => {
                    let subject = format!("mail.received.{account}");
                    let sent = vec![outgoing(&subject, &format!("{round}{side}"), b"x")];
                    can_publish +=
                        usize::from(bus.publish_fenced_all(&fence, sent).await[0].is_ok());
                }
                Err(FenceError::Lost { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        assert_eq!(can_publish, 1, "round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn pipelined_fenced_publishes_do_not_refuse_each_other() -> Result<()> {
    let bus = bus().await?;
    let fence = bus.take_fence("support").await?;
    let many = (0..2_000).map(|n| outgoing("mail.received.support", &n.to_string(), b"x"));

    let answers = bus.publish_fenced_all(&fence, many.collect()).await;

    assert_eq!(answers.len(), 2_000);
    for answer in answers {
        answer?;
    }
    Ok(())
}

#[tokio::test]
async fn one_accounts_fence_does_not_touch_another() -> Result<()> {
    let bus = bus().await?;
    let support = bus.take_fence("support").await?;
    let _sales = bus.take_fence("sales").await?;

    let sent = bus
        .publish_fenced_all(&support, vec![outgoing("mail.received.support", "1", b"x")])
        .await;

    assert!(sent[0].is_ok(), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn fence_outlives_the_events_and_is_not_heard_by_subscribers() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let client = plain_client().await?;
    let mut heard = client.subscribe(format!("{}.>", settings.prefix)).await?;
    client.flush().await?;

    let first = bus.take_fence("support").await?;
    let second = bus.take_fence("support").await?;
    bus.publish(outgoing("mail.received.support", "1", b"x"))
        .await?;

    // The stored subjects are heard as they are sent; the republished one is the only bare one.
    let mut subjects = Vec::new();
    while subjects
        .last()
        .is_none_or(|last: &String| !last.ends_with("mail.received"))
    {
        use futures_util::StreamExt;
        let message = heard.next().await.context("subscription ended")?;
        subjects.push(message.subject.to_string());
    }
    let bare = subjects
        .iter()
        .filter(|subject| **subject == format!("{}.fence", settings.prefix));
    assert_eq!(bare.count(), 0, "{subjects:?}");

    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream
        .get_stream(format!("{}_EVENTS", settings.prefix))
        .await?;
    assert_eq!(
        stream.info().await?.state.messages,
        2,
        "one fence, one event"
    );
    let kept = stream.get_raw_message(second.token()).await?;
    assert!(stream.get_raw_message(first.token()).await.is_err());
    assert_eq!(
        kept.headers
            .get("Nats-TTL")
            .map(async_nats::HeaderValue::as_str),
        Some("never")
    );
    Ok(())
}

#[tokio::test]
async fn account_key_that_is_no_token_is_refused() -> Result<()> {
    let bus = bus().await?;

    for account in ["", "a.b", "*", "a b"] {
        let refused = bus.take_fence(account).await;
        assert!(
            matches!(refused, Err(FenceError::BadAccount { .. })),
            "{account:?}"
        );
    }
    Ok(())
}
