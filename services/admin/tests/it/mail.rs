use std::time::Duration;

use mailmesh_bus::NewRawMail;
use mailmesh_domain::{MailId, SystemClock};
use reqwest::Method;
use serde_json::Value;

use crate::world::World;

const MAIL: &str = "From: a@example.com\r\nSubject: Report\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee attached.\r\n\
--b\r\nContent-Type: text/html; name=\"a\\\"; b.html\"\r\nContent-Disposition: attachment; filename=\"evil \u{e4}.html\"\r\n\r\n<script>1</script>\r\n--b--\r\n";

async fn put(world: &World, bytes: Vec<u8>) -> anyhow::Result<String> {
    let mail_id = MailId::generate(&SystemClock).to_string();
    let mail = NewRawMail {
        mail_id: mail_id.clone(),
        bytes: bytes.into(),
    };
    world.base.bus.raw_mails().put(mail).await?;
    Ok(mail_id)
}

#[tokio::test]
async fn a_raw_mail_of_many_chunks_comes_whole() {
    let world = World::new().await.unwrap();
    let bytes: Vec<u8> = (0..1_300_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let id = put(&world, bytes.clone()).await.unwrap();

    let answer = world
        .api
        .request(Method::GET, &format!("/v1/mails/{id}/raw"));
    let answer = answer.send().await.unwrap();
    let headers = answer.headers().clone();
    let missing = MailId::generate(&SystemClock);
    let missing = world
        .call(
            Method::GET,
            &format!("/v1/mails/{missing}/raw"),
            &Value::Null,
        )
        .await;
    let no_id = world
        .call(Method::GET, "/v1/mails/a.b/raw", &Value::Null)
        .await;

    assert_eq!(headers["content-type"], "message/rfc822");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(
        headers["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    assert!(answer.bytes().await.unwrap() == bytes);
    assert_eq!((missing.unwrap().status, no_id.unwrap().status), (404, 404));
    world.finish().await.unwrap();
}

#[tokio::test]
async fn an_attachment_comes_decoded_and_cannot_run() {
    let world = World::new().await.unwrap();
    let id = put(&world, MAIL.as_bytes().to_vec()).await.unwrap();
    let parsed = mailmesh_mail::message::parse(MAIL.as_bytes());
    let part = parsed.attachments[0].part;

    let path = format!("/v1/mails/{id}/attachments/{part}");
    let found = world.call(Method::GET, &path, &Value::Null).await.unwrap();
    let path = format!("/v1/mails/{id}/attachments/99");
    let missing = world.call(Method::GET, &path, &Value::Null).await.unwrap();

    assert_eq!((found.status, missing.status), (200, 404));
    assert_eq!(found.text.trim(), "<script>1</script>");
    let disposition = found.headers["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename*=UTF-8''evil%20"),
        "{disposition}"
    );
    assert!(
        found.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("sandbox")
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn slow_readers_of_attachments_take_places_until_they_have_read() {
    const AT_ONCE: usize = 4;
    let world = World::new().await.unwrap();
    let body = "x".repeat(12 * 1024 * 1024);
    let large = format!(
        "Subject: Large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nSee attached.\r\n--b\r\n\
         Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n\
         {body}\r\n--b--\r\n"
    );
    let parsed = mailmesh_mail::message::parse(large.as_bytes());
    let part = parsed.attachments[0].part;
    let id = put(&world, large.into_bytes()).await.unwrap();
    let path = format!("/v1/mails/{id}/attachments/{part}");
    // Their headers have come, and nobody reads on.
    let mut slow = Vec::new();
    for _ in 0..AT_ONCE {
        let answer = world.api.request(Method::GET, &path).send().await;
        slow.push(answer.unwrap());
    }

    let mut next = Box::pin(world.api.request(Method::GET, &path).send());
    let early = tokio::time::timeout(Duration::from_secs(2), &mut next).await;
    slow.pop();
    let answer = next.await.unwrap();

    assert!(early.is_err(), "{early:?}");
    assert_eq!(answer.status(), 200);
    let length = answer.content_length();
    let whole = answer.bytes().await.unwrap();
    assert_eq!(
        (length, whole.len()),
        (Some(whole.len() as u64), body.len())
    );
    drop(slow);
    world.finish().await.unwrap();
}
