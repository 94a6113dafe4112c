use anyhow::{Context, Result};
use mailmesh_events::account::AccountChanged;

use crate::world::{bus, outgoing};

#[tokio::test]
async fn stored_event_is_heard_on_the_bare_subject() -> Result<()> {
    let bus = bus().await?;
    let mut heard = bus.subscribe("mail.received", None).await?;
    bus.flush().await?;
    let mut event = outgoing("mail.received.support", "1", b"body");
    event.headers = vec![("ce-type".to_owned(), "mail.received.v1".to_owned())];

    bus.publish(event).await?;

    let hint = heard.next().await.context("heard")?;
    assert_eq!(hint.subject, "mail.received.support");
    assert_eq!(hint.payload.as_ref(), b"body");
    let kind = ("ce-type".to_owned(), "mail.received.v1".to_owned());
    assert!(hint.headers.contains(&kind), "{:?}", hint.headers);
    Ok(())
}

#[tokio::test]
async fn hint_goes_to_one_member_of_a_group_and_to_all_others() -> Result<()> {
    let bus = bus().await?;
    let mut first = bus.subscribe("token.refresh", Some("refreshers")).await?;
    let mut second = bus.subscribe("token.refresh", Some("refreshers")).await?;
    let mut all = bus.subscribe("token.refresh", None).await?;
    bus.flush().await?;

    for number in 0..20_u8 {
        bus.publish_core("token.refresh", &[], vec![number].into())
            .await?;
    }
    bus.publish_core("token.refresh", &[], "end".into()).await?;

    let mut heard_by_all = 0;
    while all.next().await.context("heard")?.payload.as_ref() != b"end" {
        heard_by_all += 1;
    }
    let mut heard_by_group = 0;
    loop {
        let hint = tokio::select! {
            hint = first.next() => hint,
            hint = second.next() => hint,
        };
        heard_by_group += 1;
        if heard_by_group == 21 {
            break;
        }
        hint.context("heard")?;
    }
    assert_eq!(heard_by_all, 20);
    Ok(())
}

#[tokio::test]
async fn typed_hints_are_decoded_and_what_cannot_be_is_skipped() -> Result<()> {
    let bus = bus().await?;
    let mut changed = bus.subscribe_to::<AccountChanged>().await?;
    bus.flush().await?;
    let other_version = ("ce-type".to_owned(), "account.changed.v2".to_owned());
    let stored = outgoing(
        "account.changed.support",
        "1",
        br#"{"account":"support","is_deleted":true,"added_later":1}"#,
    );

    for unreadable in [
        "",
        "no JSON",
        "{}",
        r#"{"account":"SUPPORT","is_deleted":0}"#,
    ] {
        bus.publish_core("account.changed", &[], unreadable.into())
            .await?;
    }
    bus.publish_core("account.changed", &[other_version], "{}".into())
        .await?;
    bus.publish(stored).await?;

    let event = changed.next().await.context("heard")?;
    assert_eq!(event.account.as_str(), "support");
    assert!(event.is_deleted);
    Ok(())
}

#[tokio::test]
async fn typed_hints_end_with_the_bus() -> Result<()> {
    let bus = bus().await?;
    let mut changed = bus.subscribe_to::<AccountChanged>().await?;

    bus.close().await;

    assert_eq!(changed.next().await, None);
    Ok(())
}
