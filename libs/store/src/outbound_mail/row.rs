use mailmesh_domain::{AccountId, MailId};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OutboundMail;
use crate::StoreError;
use crate::convert::RowOf;

macro_rules! columns {
    () => {
        "mail_id, account_id, idempotency_key, is_key_given, message_id, envelope_from, recipients,
         size_bytes, raw_sha256, chunks, state, attempts, failures, due_at, on_uncertain, problem, reply,
         trace_parent, stream_sequence, created_at, finished_at"
    };
}
pub(super) use columns;

#[derive(sqlx_macros::FromRow)]
pub(super) struct Row {
    mail_id: Uuid,
    account_id: Uuid,
    idempotency_key: String,
    is_key_given: bool,
    message_id: String,
    envelope_from: String,
    recipients: Value,
    size_bytes: i64,
    raw_sha256: Option<Vec<u8>>,
    chunks: i32,
    state: String,
    attempts: i32,
    failures: i32,
    due_at: OffsetDateTime,
    on_uncertain: String,
    problem: Option<Value>,
    reply: Option<String>,
    trace_parent: Option<String>,
    stream_sequence: Option<i64>,
    created_at: OffsetDateTime,
    finished_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for OutboundMail {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "outbound_mails",
            id: row.mail_id,
        };
        Ok(Self {
            id: MailId::from_uuid(row.mail_id),
            account_id: AccountId::from_uuid(row.account_id),
            idempotency_key: row.idempotency_key,
            is_key_given: row.is_key_given,
            message_id: row.message_id,
            envelope_from: row.envelope_from,
            recipients: of
                .json("recipients", Some(row.recipients))?
                .unwrap_or_default(),
            size_bytes: of.number("size_bytes", row.size_bytes)?,
            raw_sha256: row
                .raw_sha256
                .map(|hash| hash.try_into().map_err(|_| of.bad("raw_sha256")))
                .transpose()?,
            chunks: of.number("chunks", row.chunks)?,
            state: of.parse("state", &row.state)?,
            attempts: row.attempts,
            failures: row.failures,
            due_at: row.due_at,
            on_uncertain: of.parse("on_uncertain", &row.on_uncertain)?,
            problem: of.json("problem", row.problem)?,
            reply: row.reply,
            trace_parent: row.trace_parent,
            stream_sequence: row
                .stream_sequence
                .map(|sequence| of.number("stream_sequence", sequence))
                .transpose()?,
            created_at: row.created_at,
            finished_at: row.finished_at,
        })
    }
}
