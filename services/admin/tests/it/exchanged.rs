//! Raw mails that somebody else writes over on the bus.

use anyhow::{Context, Result};
use mailmesh_bus::{NewRawMail, Outgoing};
use mailmesh_domain::{Clock, Key, MailId, Position, SystemClock, UncertainPolicy};
use mailmesh_secrets::sha256;
use mailmesh_store::mailbox::{self, ReceivedMail};
use mailmesh_store::outbound_mail::{self, NewOutboundMail, Recipient};
use mailmesh_store::{Tx, account};
use reqwest::Method;
use serde_json::Value;

use crate::world::World;

const MAIL: &[u8] =
    b"Subject: Report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nHello\r\n--b--\r\n";

async fn account_id(tx: &mut Tx, key: &str) -> Result<mailmesh_domain::AccountId> {
    let found = account::find_by_key(tx, &Key::try_new(key)?).await?;
    Ok(found.context("the account")?.id)
}

async fn received(world: &World, raw: &[u8]) -> Result<MailId> {
    let mut tx = world.base.begin().await?;
    let mail = ReceivedMail {
        id: MailId::generate(&SystemClock),
        account_id: account_id(&mut tx, "in").await?,
        folder: "INBOX".to_owned(),
        position: Position::imap(1, 7),
        ordinal: 7,
        sha256: sha256(raw),
        size_bytes: raw.len() as u64,
        chunks: 1,
        listed_bytes: None,
        is_post_action_due: false,
    };
    mailbox::insert(&mut tx, std::slice::from_ref(&mail), SystemClock.now()).await?;
    tx.commit().await?;
    Ok(mail.id)
}

async fn queued(world: &World, raw: &[u8]) -> Result<MailId> {
    let mut tx = world.base.begin().await?;
    let mail = NewOutboundMail {
        id: MailId::generate(&SystemClock),
        account_id: account_id(&mut tx, "out").await?,
        idempotency_key: "k".to_owned(),
        is_key_given: true,
        content_sha256: [1; 32],
        message_id: "<k@example.com>".to_owned(),
        envelope_from: "support@example.com".to_owned(),
        recipients: vec![Recipient::new("to@example.com".to_owned())],
        size_bytes: raw.len() as u64,
        raw_sha256: sha256(raw),
        chunks: 1,
        on_uncertain: UncertainPolicy::Hold,
        trace_parent: None,
        stream_sequence: 1,
    };
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), SystemClock.now()).await?;
    tx.commit().await?;
    Ok(mail.id)
}

async fn put(world: &World, id: MailId, bytes: Vec<u8>) -> Result<()> {
    let mail = NewRawMail {
        mail_id: id.to_string(),
        bytes: bytes.into(),
    };
    Ok(world.base.bus.raw_mails().put(mail).await?)
}

async fn world() -> Result<World> {
    let world = World::new().await?;
    world.google().await?;
    world.account("in", "imap").await?;
    world.account("out", "smtp").await?;
    Ok(world)
}

/// Puts another message in the place of a mail's first chunk.
async fn publish(world: &World, id: MailId, payload: &'static str) -> Result<()> {
    let chunk = Outgoing {
        subject: format!("raw.{id}.0"),
        message_id: String::new(),
        headers: Vec::new(),
        payload: payload.into(),
    };
    world.base.bus.publish(chunk).await?;
    Ok(())
}

async fn refuses_exchanged(world: &World, paths: [&String; 2]) -> Result<()> {
    for path in paths {
        let refused = world.call(Method::GET, path, &Value::Null).await?;
        assert_eq!(refused.status, 500, "{}", refused.text);
        assert!(
            refused.text.contains("content_mismatch"),
            "{}",
            refused.text
        );
        assert!(!refused.text.contains("Olleh"), "{}", refused.text);
    }
    Ok(())
}

#[tokio::test]
async fn mail_that_was_exchanged_is_not_handed_out() {
    let world = world().await.unwrap();
    for id in [received(&world, MAIL).await, queued(&world, MAIL).await] {
        let id = id.unwrap();
        let raw = format!("/v1/mails/{id}/raw");
        let part = format!("/v1/mails/{id}/attachments/1");
        put(&world, id, MAIL.to_vec()).await.unwrap();
        for path in [&raw, &part] {
            let whole = world.call(Method::GET, path, &Value::Null).await.unwrap();
            assert_eq!(whole.status, 200, "{}", whole.text);
        }

        let other = String::from_utf8_lossy(MAIL).replace("Hello", "Olleh");
        put(&world, id, other.into_bytes()).await.unwrap();
        refuses_exchanged(&world, [&raw, &part]).await.unwrap();

        // Of whoever knows nothing of chunks.
        publish(&world, id, "Olleh").await.unwrap();
        refuses_exchanged(&world, [&raw, &part]).await.unwrap();
    }
    world.finish().await.unwrap();
}

/// Its beginning is on the way before its end is read.
#[tokio::test]
async fn transfer_of_a_long_mail_that_was_exchanged_breaks_off() {
    let world = world().await.unwrap();
    let mut long = vec![b'a'; 2_000_000];
    let id = received(&world, &long).await.unwrap();
    put(&world, id, long.clone()).await.unwrap();
    let url = format!("/v1/mails/{id}/raw");
    let whole = world.api.request(Method::GET, &url).send().await.unwrap();
    assert!(whole.bytes().await.unwrap() == long);

    // In its first chunk, so that all that follows is as it was.
    long[0] = b'b';
    put(&world, id, long).await.unwrap();

    let broken = world.api.request(Method::GET, &url).send().await.unwrap();
    assert!(broken.bytes().await.is_err());
    world.finish().await.unwrap();
}
