//! An account, a command and a mail for unit tests.

use bytes::Bytes;
use mailmesh_bus::Delivery;
use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, Direction, Encryption, Key, MailId, OutboundState,
    Protocol, UncertainPolicy,
};
use mailmesh_store::account::{Account, ServerAddress};
use mailmesh_store::outbound_mail::{OutboundMail, Recipient};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) fn account() -> Account {
    Account {
        id: AccountId::from_uuid(Uuid::from_u128(1)),
        key: Key::try_new("support").unwrap(),
        name: String::new(),
        is_enabled: true,
        direction: Direction::Outbound,
        protocol: Protocol::Smtp,
        server: Some(ServerAddress {
            host: "localhost".into(),
            port: 465,
            encryption: Encryption::Tls,
        }),
        is_host_trusted: true,
        authorisation: Authorisation::Password,
        login: "support@example.com".into(),
        password: mailmesh_store::RowSecret::Absent,
        client_configuration_id: None,
        grant_id: None,
        signs_in_for: None,
        from_addresses: vec!["support@example.com".into(), "sales@example.com".into()],
        folders: Vec::new(),
        receive_existing: false,
        poll_interval_seconds: 60,
        after_receive: AfterReceive::Keep,
        delete_after_days: None,
        move_to: None,
        max_connections: 2,
        ca_pem: None,
        revision: 1,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

pub(crate) fn delivery(stream_sequence: u64) -> Delivery {
    Delivery {
        subject: "mail.send.support".into(),
        headers: Vec::new(),
        payload: Bytes::from_static(br#"{"to":"a@b.c"}"#),
        stream_sequence,
        timestamp: OffsetDateTime::UNIX_EPOCH,
        attempt: 1,
        is_last_attempt: false,
    }
}

pub(crate) fn mail(recipients: &[&str]) -> OutboundMail {
    OutboundMail {
        id: MailId::from_uuid(Uuid::from_u128(2)),
        account_id: account().id,
        idempotency_key: "k".into(),
        is_key_given: true,
        message_id: "<m@example.com>".into(),
        envelope_from: "support@example.com".into(),
        recipients: recipients
            .iter()
            .map(|address| Recipient::new((*address).to_owned()))
            .collect(),
        size_bytes: 10,
        raw_sha256: None,
        chunks: 1,
        state: OutboundState::Sending,
        attempts: 1,
        failures: 0,
        due_at: OffsetDateTime::UNIX_EPOCH,
        on_uncertain: UncertainPolicy::Hold,
        problem: None,
        reply: None,
        trace_parent: None,
        stream_sequence: Some(7),
        created_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: None,
    }
}
