use std::sync::Arc;

use bytes::Bytes;
use mailmesh_bus::{Delivery, RawMails, trace};
use mailmesh_domain::{Direction, Key, MailId, UncertainPolicy};
use mailmesh_events::decode_command;
use mailmesh_events::mail::SendMail;
use mailmesh_mail::message::{BuildContext, build};
use mailmesh_secrets::{Sha256Writer, sha256};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{NewOutboundMail, Recipient};
use time::OffsetDateTime;
use tracing::info_span;
use uuid::Uuid;

use super::account_name::{account_of, account_of_unread};
use crate::config::Config;
use crate::draft::{self, Refusal};

const MAX_KEY: usize = 255;

/// A `mail.send` that was read.
#[derive(Debug)]
pub(super) struct SendCommand {
    pub(super) account: Key,
    pub(super) command: SendMail,
    key: String,
    is_key_given: bool,
}

/// A mail that is ready to be queued.
#[derive(Debug)]
pub(super) struct NewMail {
    pub(super) account: Arc<Account>,
    pub(super) row: NewOutboundMail,
    pub(super) raw: Bytes,
    pub(super) stream_sequence: u64,
    pub(super) timestamp: OffsetDateTime,
    pub(super) given_key: Option<String>,
}

impl SendCommand {
    pub(super) fn read(delivery: &Delivery) -> Result<Self, (Option<Key>, Refusal)> {
        let read = decode_command::<SendMail>(&delivery.headers, &delivery.payload)
            .map_err(|error| (account_of_unread(delivery), Refusal::from(error)))?;
        let command = read.data;
        let given = command.idempotency_key.clone();
        let account = account_of(delivery, command.account.clone())?;
        if let Some(problem) = given.as_deref().and_then(problem_of_key) {
            let refusal = Refusal::new("idempotency_key", problem);
            return Err((Some(account), refusal));
        }
        let key = match (&given, &read.id, &read.source) {
            (Some(given), ..) => given.clone(),
            // A CloudEvents id is unique within its source; together they may be long.
            (None, Some(id), Some(source)) => {
                format!("ce:{}", hex(&sha256(format!("{source}\0{id}").as_bytes())))
            }
            _ => format!("nats:{}", mail_id(delivery)),
        };
        Ok(Self {
            account,
            command,
            key,
            is_key_given: given.is_some(),
        })
    }

    /// Returns account and key.
    pub(super) fn into_name(self) -> (Key, String) {
        (self.account, self.key)
    }

    /// Checks the command against its account and builds the mail.
    pub(super) fn build(
        mut self,
        delivery: &Delivery,
        account: Option<&Arc<Account>>,
        config: &Config,
    ) -> Result<NewMail, Refusal> {
        let account = account.ok_or_else(|| Refusal::new("account", "is not known"))?;
        if account.direction != Direction::Outbound {
            return Err(Refusal::new("account", "is not an outbound account"));
        }
        let id = mail_id(delivery);
        self.command.account = Some(self.account);
        draft::read_addresses(&mut self.command, config.max_recipients)?;
        let content_sha256 = content_hash(&self.command);
        let on_uncertain = self.command.on_uncertain.unwrap_or(UncertainPolicy::Hold);
        let given_key = self.command.idempotency_key.clone();
        let draft = draft::make(self.command, account)?;
        let from = draft.from.as_ref().map(|from| from.address.as_str());
        let context = BuildContext {
            message_id: format!("{id}@{}", domain_of(from.unwrap_or(&account.login))),
            date: delivery.timestamp,
            default_from: None,
            limits: config.limits(),
        };
        let built = build(&draft, &context)?;
        let recipients = built.envelope.recipients().iter().cloned();
        let recipients = recipients.map(Recipient::new);
        let row = NewOutboundMail {
            id,
            account_id: account.id,
            idempotency_key: self.key,
            is_key_given: self.is_key_given,
            content_sha256,
            message_id: built.message_id,
            envelope_from: built.envelope.from().unwrap_or_default().to_owned(),
            recipients: recipients.collect(),
            size_bytes: built.raw.len() as u64,
            raw_sha256: sha256(&built.raw),
            chunks: RawMails::chunk_count(built.raw.len() as u64),
            on_uncertain,
            trace_parent: trace_parent(delivery),
            stream_sequence: delivery.stream_sequence,
        };
        Ok(NewMail {
            account: Arc::clone(account),
            row,
            raw: built.raw,
            stream_sequence: delivery.stream_sequence,
            timestamp: delivery.timestamp,
            given_key,
        })
    }
}

pub(super) fn problem_of_key(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("must not be empty")
    } else if key.len() > MAX_KEY {
        Some("must not be longer than 255 octets")
    } else if key.chars().any(char::is_control) {
        Some("must not hold control characters")
    } else {
        None
    }
}

/// The id of the mail that a command becomes, however often it is delivered: the moment at which
/// the stream stored it, and a hash of its place there. Sorts by age, as every UUIDv7 does.
pub(super) fn mail_id(delivery: &Delivery) -> MailId {
    let place = format!(
        "mail.send\0{}\0{}",
        delivery.timestamp.unix_timestamp_nanos(),
        delivery.stream_sequence
    );
    let hash = sha256(place.as_bytes());
    let mut random = [0_u8; 10];
    for (to, from) in random.iter_mut().zip(hash) {
        *to = from;
    }
    let milliseconds = delivery.timestamp.unix_timestamp_nanos() / 1_000_000;
    let milliseconds = u64::try_from(milliseconds).unwrap_or_default();
    let uuid = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
    MailId::from_uuid(uuid)
}

/// Tells a repeated request from another one with the same key, whatever envelope it came in, and
/// whether body or subject named the account.
fn content_hash(command: &SendMail) -> [u8; 32] {
    let mut hash = Sha256Writer::default();
    // A command that was read can be written, and hashing cannot fail.
    serde_json::to_writer(&mut hash, command).ok();
    hash.finish()
}

fn domain_of(address: &str) -> &str {
    let domain = address.rsplit_once('@');
    domain.map_or("localhost", |(_, domain)| domain)
}

fn trace_parent(delivery: &Delivery) -> Option<String> {
    let span = info_span!(
        "handle.send_mail",
        delivery.sequence = delivery.stream_sequence
    );
    trace::continue_from(&span, &delivery.headers);
    let mut headers = delivery
        .headers
        .iter()
        .filter(|(name, value)| {
            name.eq_ignore_ascii_case("traceparent") && trace::is_trace_parent(value)
        })
        .cloned()
        .collect();
    span.in_scope(|| trace::inject(&mut headers));
    headers.into_iter().next().map(|(_, value)| value)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The id of the event that rejects a command: the same however often it is rejected.
pub(super) fn rejection_id(sequence: u64, timestamp: OffsetDateTime) -> Uuid {
    let moment = timestamp.unix_timestamp_nanos();
    let hash = sha256(format!("mail.rejected\0{moment}\0{sequence}").as_bytes());
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(hash) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
