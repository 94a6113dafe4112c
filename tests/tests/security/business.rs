use mailmesh_bus::Bus;

use crate::locked::{CLIENTS, DESK, Servers};
use crate::user::User;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_business_system_sends_from_its_account_and_does_nothing_else() {
    let servers = Servers::start().await.unwrap();
    let bus = Bus::connect(&servers.address.bus).await.unwrap();
    bus.ensure_streams().await.unwrap();
    let desk = User::connect(&servers, DESK).await.unwrap();

    let not_published = [
        "mail.send",
        "mail.send.other-out",
        "mail.cancel.other-out",
        "mail.received.support",
        "mail.sent.support-out",
        "token.refreshed.x",
        "token.refresh",
        "fence.support",
        "raw.x.0",
        "dead_letter.x",
        "outbound.due",
        "_INBOX_outbound-sender.x",
        "$JS.API.STREAM.CREATE.desk",
        "$JS.API.STREAM.DELETE.<p>_EVENTS",
        "$JS.API.STREAM.PURGE.<p>_MAIL_SEND",
        "$JS.API.STREAM.UPDATE.<p>_EVENTS",
        "$JS.API.STREAM.MSG.DELETE.<p>_EVENTS",
        "$JS.API.STREAM.MSG.GET.<p>_EVENTS",
        "$JS.API.STREAM.INFO.<p>_EVENTS",
        "$JS.API.DIRECT.GET.<p>_EVENTS",
        "$JS.API.DIRECT.GET.<p>_MAIL_RAW.<p>.raw.x.0",
        "$JS.API.CONSUMER.CREATE.<p>_EVENTS.desk",
        "$JS.API.CONSUMER.DURABLE.CREATE.<p>_EVENTS.desk",
        "$JS.API.CONSUMER.DELETE.<p>_EVENTS.other",
        "$JS.API.CONSUMER.MSG.NEXT.<p>_EVENTS.other",
        "$JS.API.CONSUMER.MSG.NEXT.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.ACK.<p>_MAIL_SEND.outbound-sender-send-mail.1.1.1.1.0",
        "$JS.ACK._.hash.<p>_MAIL_SEND.outbound-sender-send-mail.1.1.1.1.0",
        "$JS.ACK.<p>_EVENTS.other.1.1.1.1.0",
    ];
    let not_subscribed = [
        "mail.received",
        "mail.received.other",
        "mail.send.support-out",
        "mail.send.>",
        "raw.>",
        "_INBOX.>",
        "_INBOX_admin.>",
        "_INBOX_clients.>",
        "$JS.API.>",
        "$SYS.>",
    ];
    let refused = desk.refused(&not_published, &not_subscribed).await.unwrap();
    assert_eq!(refused, [&not_published[..], &not_subscribed[..]].concat());

    let may_publish = ["mail.send.support-out", "mail.cancel.support-out"];
    let may_subscribe = [
        "mail.received.support",
        "mail.sent.support-out",
        "_INBOX_desk.x",
    ];
    let refused = desk.refused(&may_publish, &may_subscribe).await.unwrap();
    assert_eq!(refused, Vec::<String>::new());
    let everything = bus.read_back("mail.received.support", 0).unwrap();
    assert!(everything.collect_all().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systems_that_may_use_every_account_still_publish_no_events_and_touch_no_streams() {
    let servers = Servers::start().await.unwrap();
    let bus = Bus::connect(&servers.address.bus).await.unwrap();
    bus.ensure_streams().await.unwrap();
    let clients = User::connect(&servers, CLIENTS).await.unwrap();

    let not_published = [
        "mail.received.support",
        "mail.sent.a",
        "account.changed.a",
        "token.refreshed.x",
        "token.refresh",
        "fence.support",
        "raw.x.0",
        "_INBOX_admin.x",
        "$JS.API.STREAM.CREATE.mine",
        "$JS.API.STREAM.DELETE.<p>_EVENTS",
        "$JS.API.STREAM.PURGE.<p>_EVENTS",
        "$JS.API.STREAM.UPDATE.<p>_EVENTS",
        "$JS.API.STREAM.MSG.DELETE.<p>_MAIL_SEND",
        "$JS.API.CONSUMER.CREATE.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.API.CONSUMER.DELETE.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.API.CONSUMER.MSG.NEXT.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.ACK.<p>_MAIL_SEND.outbound-sender-send-mail.1.1.1.1.0",
    ];
    let not_subscribed = ["mail.send", "mail.send.a", "raw.x.0", "_INBOX_admin.>", ">"];
    let refused = clients
        .refused(&not_published, &not_subscribed)
        .await
        .unwrap();
    assert_eq!(refused, [&not_published[..], &not_subscribed[..]].concat());

    let may_publish = ["mail.send", "mail.send.a", "mail.cancel", "mail.cancel.a"];
    let may_subscribe = ["mail.received", "mail.received.*", "mail.sent"];
    let refused = clients.refused(&may_publish, &may_subscribe).await.unwrap();
    assert_eq!(refused, Vec::<String>::new());
}
