//! The main job from end to end, with GreenMail as the mail server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailmesh_mail::message::{self, ParsedMail};
use mailmesh_sandbox::Settings as SandboxSettings;
use mailmesh_testkit::{GreenMail, StoredMail, eventually};
use mailmesh_tests::{GreenMailbox, Leftovers, SeenEvent, Service, World, WorldSettings};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::sample::mail;

const MULTIPART: &str = "From: Customer <customer@example.com>\r\nTo: support@sandbox.test\r\n\
    Subject: with attachment\r\nMessage-ID: <multipart@example.com>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"edge\"\r\n\r\n\
    --edge\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee the file.\r\n\
    --edge\r\nContent-Type: application/pdf; name=\"order.pdf\"\r\n\
    Content-Disposition: attachment; filename=\"order.pdf\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n--edge--\r\n";
const EIGHT_BIT: &str = "From: Customer <customer@example.com>\r\nTo: support@sandbox.test\r\n\
    Subject: eight bit\r\nMessage-ID: <eightbit@example.com>\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
    Grüße aus Köln, 10 €\r\n";
const NO_ID: &str = "From: Customer <customer@example.com>\r\nTo: support@sandbox.test\r\n\
    Subject: no id\r\n\r\nNobody numbered me.\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_signs_in_receives_sends_and_outlives_its_token() {
    let mut services = Service::ALL.to_vec();
    services.push(Service::TokenRefresh);
    let mut world = World::start(WorldSettings {
        services,
        sandbox: SandboxSettings {
            // Refreshed after the half of it.
            access_token_seconds: 36,
            ..SandboxSettings::default()
        },
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_greenmail("support").await.unwrap();
    world.sandbox.tokens().set_access_seconds(3_600);
    let first_token = world.access_token(&mailbox.inbound).await.unwrap();

    receives(&mut world, &mailbox).await;
    sends(&mut world, &mailbox).await;
    world.events.wait("token.refreshed", None, 2).await.unwrap();
    let second_token = world.access_token(&mailbox.inbound).await.unwrap();
    // GreenMail changes no passwords: the mailbox is made anew, with another UIDVALIDITY.
    mailbox.server.delete_user(&mailbox.address).await.unwrap();
    let made = mailbox.server.create_user(&mailbox.address, &second_token);
    made.await.unwrap();
    assert_ne!(first_token, second_token);
    assert!(!is_let_in(mailbox.server, &mailbox.address, &first_token).await);
    assert!(is_let_in(mailbox.server, &mailbox.address, &second_token).await);
    goes_on(&mut world, &mailbox).await;

    let counters = world.sandbox.oauth_counters();
    let refreshes = counters.mailboxes[&mailbox.address].refreshes;
    assert_eq!(refreshes, 1, "{counters:?}");
    world.finish(Leftovers::default()).await.unwrap();
}

async fn receives(world: &mut World, mailbox: &GreenMailbox) {
    let plain = mail(&mailbox.address, "plain", "It is number 4711.");
    let delivered = [plain.as_str(), MULTIPART, EIGHT_BIT, NO_ID];
    for each in delivered {
        let deliver = mailbox
            .server
            .deliver("customer@example.com", &mailbox.address, each);
        deliver.await.unwrap();
    }
    let key = Some(mailbox.inbound.as_str());
    let events = world.events.wait("mail.received", key, 4).await.unwrap();
    let of = |subject: &str| -> &SeenEvent {
        let found = events.iter().find(|event| event.text("subject") == subject);
        found.unwrap_or_else(|| panic!("no event for {subject}: {events:?}"))
    };
    assert!(of("plain").text("text").contains("4711"));
    assert_eq!(of("plain").text("message_id"), "<plain@example.com>");
    let attachment = &of("with attachment").data["attachments"][0];
    assert_eq!(attachment["filename"], "order.pdf");
    assert_eq!(attachment["bytes"], 9);
    assert!(
        of("eight bit")
            .text("text")
            .contains("Grüße aus Köln, 10 €")
    );
    assert!(of("no id").text("text").contains("Nobody numbered me."));
    for (subject, raw) in ["plain", "with attachment", "eight bit", "no id"]
        .iter()
        .zip(delivered)
    {
        let id = of(subject).text("mail_id");
        let stored = world
            .base
            .bus
            .raw_mails()
            .get_whole(id, 1 << 20)
            .await
            .unwrap();
        let stored = stored.unwrap_or_else(|| panic!("{subject} has no raw mail"));
        let served = world.api.download(&format!("/v1/mails/{id}/raw")).await;
        assert_eq!(served.unwrap(), stored);
        // GreenMail puts its own header fields before the mail.
        assert!(
            stored.ends_with(raw.trim_end().as_bytes()) || stored.ends_with(raw.as_bytes()),
            "{subject}: {}",
            String::from_utf8_lossy(&stored)
        );
    }
}

async fn sends(world: &mut World, mailbox: &GreenMailbox) {
    let address = |name: &str| format!("{}-{name}@sandbox.test", world.base.prefix());
    let pdf: Vec<u8> = (0..=255_u8).cycle().take(5_000).collect();
    let command = json!({
        "account": mailbox.outbound,
        "to": [{"name": "Zoë", "address": address("to")}],
        "cc": address("cc"),
        "bcc": [address("bcc")],
        "subject": "Ihre Bestellung – grün",
        "text": "It is on its way.\n.\nA line with a dot alone was above.",
        "html": "<p>It is <b>on its way</b>.</p>",
        "attachments": [{
            "filename": "rechnung-ü.pdf",
            "content_type": "application/pdf",
            "content": STANDARD.encode(&pdf),
        }],
        "idempotency_key": "order-4711",
    });
    world.publish("mail.send", &command).await.unwrap();

    let key = Some(mailbox.outbound.as_str());
    let sent = world.events.wait("mail.sent", key, 1).await.unwrap();
    assert_eq!(sent[0].text("idempotency_key"), "order-4711");
    assert_eq!(sent[0].data["recipients"].as_array().map(Vec::len), Some(3));
    for name in ["to", "cc", "bcc"] {
        let arrived = arrived(mailbox.server, &address(name), 1).await;
        let raw = arrived[0].raw.as_bytes();
        let parsed: ParsedMail = message::parse(raw);
        assert_eq!(parsed.subject.as_deref(), Some("Ihre Bestellung – grün"));
        assert_eq!(
            parsed.message_id.as_deref(),
            Some(sent[0].text("message_id"))
        );
        assert_eq!(parsed.to[0].name.as_deref(), Some("Zoë"));
        assert_eq!(parsed.cc[0].address, address("cc"));
        assert!(!arrived[0].raw.contains(&address("bcc")) || name == "bcc");
        assert!(parsed.bcc.is_empty());
        let text = parsed.text.unwrap().content.replace("\r\n", "\n");
        assert!(text.contains("way.\n.\nA line"), "{text:?}");
        assert!(parsed.html.unwrap().content.contains("<b>on its way</b>"));
        assert_eq!(
            parsed.attachments[0].filename.as_deref(),
            Some("rechnung-ü.pdf")
        );
        let part = message::attachment(raw, parsed.attachments[0].part).unwrap();
        assert_eq!(part.content, pdf);
    }
}

async fn goes_on(world: &mut World, mailbox: &GreenMailbox) {
    // New processes keep no session, so they must sign in with the new token.
    for service in [Service::InboundFetcher, Service::OutboundSender] {
        let old = world.mesh.newest(service).unwrap();
        world.mesh.stop(old).await.unwrap();
        world.mesh.start_replica(service).await.unwrap();
    }
    let after = mail(&mailbox.address, "after", "The token is new.");
    let deliver = mailbox
        .server
        .deliver("customer@example.com", &mailbox.address, &after);
    deliver.await.unwrap();
    let to = format!("{}-later@sandbox.test", world.base.prefix());
    let command = json!({"account": mailbox.outbound, "to": to, "subject": "later", "text": "x"});
    world.publish("mail.send", &command).await.unwrap();

    let key = Some(mailbox.inbound.as_str());
    let received = world.events.wait("mail.received", key, 5).await.unwrap();
    assert_eq!(received[4].text("subject"), "after");
    assert_eq!(received.len(), 5);
    let key = Some(mailbox.outbound.as_str());
    let sent = world.events.wait("mail.sent", key, 2).await.unwrap();
    assert_eq!(sent[1].data["attempts"], 1);
    arrived(mailbox.server, &to, 1).await;
}

async fn arrived(server: &GreenMail, address: &str, count: usize) -> Vec<StoredMail> {
    let what = format!("{count} mails for {address}");
    let mails = eventually(&what, async || {
        let mails = server
            .mails(address)
            .await
            .map_err(|error| error.to_string())?;
        if mails.len() == count {
            Ok(mails)
        } else {
            Err(format!("{} mails", mails.len()))
        }
    });
    mails.await.unwrap()
}

/// Tries a token at GreenMail's IMAP.
async fn is_let_in(server: &GreenMail, address: &str, token: &str) -> bool {
    let response = STANDARD.encode(format!("user={address}\x01auth=Bearer {token}\x01\x01"));
    let stream = TcpStream::connect((server.host(), server.ports().imap)).await;
    let mut stream = BufReader::new(stream.unwrap());
    let command = format!("a AUTHENTICATE XOAUTH2 {response}\r\n");
    stream.write_all(command.as_bytes()).await.unwrap();
    let mut line = String::new();
    while !line.starts_with("a ") {
        line.clear();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "no answer");
    }
    line.starts_with("a OK")
}
