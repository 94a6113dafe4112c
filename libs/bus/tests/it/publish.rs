use anyhow::Result;
use mailmesh_bus::{BusFault, PublishError, StreamKind};

use crate::world::{bus, bus_with, outgoing, plain_client, settings, start_with, url};

#[tokio::test]
async fn same_message_id_is_stored_once() -> Result<()> {
    let bus = bus().await?;

    let first = bus.publish(outgoing("mail.received.a", "1", b"x")).await?;
    let second = bus.publish(outgoing("mail.received.a", "1", b"x")).await?;

    assert!(!first.is_duplicate);
    assert!(second.is_duplicate);
    assert_eq!(first.sequence, second.sequence);
    Ok(())
}

#[tokio::test]
async fn many_are_stored_in_their_order() -> Result<()> {
    let bus = bus().await?;
    let many = (0..5_000).map(|n| outgoing("mail.received.a", &n.to_string(), b"body"));

    let answers = bus.publish_all(many.collect()).await;

    let sequences = answers
        .into_iter()
        .map(|answer| answer.map(|published| published.sequence))
        .collect::<Result<Vec<u64>, PublishError>>()?;
    assert_eq!(sequences, (1..=5_000).collect::<Vec<u64>>());
    Ok(())
}

#[tokio::test]
async fn large_messages_beyond_the_byte_budget_are_all_stored() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.events_max_bytes = 64 * 1024 * 1024;
    let bus = bus_with(&settings).await?;
    let body = vec![b'x'; 900 * 1024];
    let many = (0..48).map(|n| outgoing("mail.received.a", &n.to_string(), &body));

    let answers = bus.publish_all(many.collect()).await;

    assert_eq!(answers.len(), 48);
    for answer in answers {
        answer?;
    }
    Ok(())
}

#[tokio::test]
async fn full_stream_refuses_and_takes_again_after_a_purge() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.events_max_bytes = 64 * 1024;
    let bus = bus_with(&settings).await?;
    let body = vec![b'x'; 10 * 1024];
    let many = (0..10).map(|n| outgoing("mail.received.a", &format!("first {n}"), &body));

    let answers = bus.publish_all(many.collect()).await;

    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(refused >= 4, "{answers:?}");
    for answer in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(answer.is_full() && answer.is_retryable(), "{answer:?}");
        assert!(!answer.may_be_stored());
    }
    let full = Some(BusFault::StreamFull { stream: "EVENTS" });
    assert_eq!(bus.find_fault(&StreamKind::ALL).await, full);
    assert_eq!(bus.find_fault(&[StreamKind::MailRaw]).await, None);

    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream.get_stream(format!("{}_EVENTS", settings.prefix));
    stream.await?.purge().await?;
    bus.publish(outgoing("mail.received.a", "again", &body))
        .await?;
    assert_eq!(bus.find_fault(&StreamKind::ALL).await, None);
    Ok(())
}

#[tokio::test]
async fn server_without_room_is_told_apart_from_a_full_stream() -> Result<()> {
    let limits = "jetstream { max_file_store: 3M }\n";
    let server = start_with("no-room", limits).await?;
    let mut settings = settings(&server.url());
    // Nothing is reserved, so that only messages use the server's storage up.
    settings.streams.events_max_bytes = 0;
    settings.streams.mail_send_max_bytes = 0;
    settings.streams.raw_max_bytes = 0;
    settings.streams.dead_letters_max_bytes = 0;
    let bus = bus_with(&settings).await?;
    let body = vec![b'x'; 256 * 1024];

    let many = (0..20).map(|n| outgoing("mail.received.a", &n.to_string(), &body));
    let answers = bus.publish_all(many.collect()).await;

    let refused: Vec<_> = answers
        .iter()
        .filter_map(|one| one.as_ref().err())
        .collect();
    assert!(
        refused
            .iter()
            .any(|one| matches!(one, PublishError::NoStorage { .. })),
        "{refused:?}"
    );
    let fault = bus.find_fault(&StreamKind::ALL).await;
    assert!(
        matches!(
            fault,
            Some(BusFault::NoStorage {
                stream: "EVENTS",
                ..
            })
        ),
        "{fault:?}"
    );
    Ok(())
}

#[tokio::test]
async fn too_large_message_is_refused_before_it_is_sent() -> Result<()> {
    let bus = bus().await?;
    let body = vec![b'x'; 1024 * 1024];

    let refused = bus.publish(outgoing("mail.received.a", "1", &body)).await;

    assert!(
        matches!(
            refused,
            Err(PublishError::TooLarge {
                limit: 1_048_576,
                ..
            })
        ),
        "{refused:?}"
    );
    bus.publish(outgoing("mail.received.a", "2", b"small"))
        .await?;
    assert_eq!(bus.health().reconnects, 0);
    Ok(())
}

#[tokio::test]
async fn exactly_as_large_as_the_server_takes_is_stored() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.events_max_bytes = 64 * 1024 * 1024;
    let bus = bus_with(&settings).await?;
    let refused = bus
        .publish(outgoing("mail.received.a", "1", &vec![b'x'; 1024 * 1024]))
        .await;
    let Err(PublishError::TooLarge { bytes, limit, .. }) = refused else {
        anyhow::bail!("{refused:?}");
    };
    let headers = bytes - 1024 * 1024;

    let largest = vec![b'x'; limit - headers];

    bus.publish(outgoing("mail.received.a", "1", &largest))
        .await?;
    assert_eq!(bus.health().reconnects, 0);
    Ok(())
}

#[tokio::test]
async fn subject_without_a_stream_is_told_apart() -> Result<()> {
    let bus = bus().await?;

    let nowhere = bus.publish(outgoing("elsewhere.x", "1", b"x")).await;
    let wildcard = bus.publish(outgoing("mail.received.*", "1", b"x")).await;

    assert!(
        matches!(nowhere, Err(PublishError::NoStream { .. })),
        "{nowhere:?}"
    );
    assert!(
        matches!(wildcard, Err(PublishError::BadSubject { .. })),
        "{wildcard:?}"
    );
    Ok(())
}

#[tokio::test]
async fn line_break_in_a_header_is_refused() -> Result<()> {
    let bus = bus().await?;
    let mut message = outgoing("mail.received.a", "1", b"x");
    message.headers = vec![("ce-source".to_owned(), "a\r\nb".to_owned())];

    let refused = bus.publish(message).await;

    assert!(
        matches!(refused, Err(PublishError::BadHeader { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn plain_request_to_mail_send_is_answered_by_the_stream() -> Result<()> {
    let settings = settings(&url()?);
    let _bus = bus_with(&settings).await?;
    let client = plain_client().await?;

    let subject = format!("{}.mail.send", settings.prefix);
    let answer = client.request(subject, "{}".into()).await?;

    let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
    assert_eq!(answer["stream"], format!("{}_MAIL_SEND", settings.prefix));
    assert_eq!(answer["seq"], 1);
    Ok(())
}
