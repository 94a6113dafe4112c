//! `account_status`: up to where in `EVENTS` an account's mails are recorded.

use mailmesh_domain::AccountId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, to_bigint};
use crate::{StoreError, Tx};

/// The last event of an account whose mail is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventMark {
    /// When the stream was made that `sequence` belongs to, in microseconds; unknown for marks of earlier releases.
    pub stream_created_at: Option<OffsetDateTime>,
    /// 0 before the first.
    pub sequence: u64,
}

/// Loads how far an account's events are recorded; none if the account is gone.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Tx, account: AccountId) -> Result<Option<EventMark>, StoreError> {
    let row: Option<(Option<OffsetDateTime>, i64)> = sqlx::query_as(
        "SELECT event_stream_created_at, event_sequence FROM account_status WHERE account_id = $1",
    )
    .bind(account.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("load an event mark"))?;
    let of = RowOf {
        table: "account_status",
        id: account,
    };
    row.map(|(stream_created_at, sequence)| {
        Ok(EventMark {
            stream_created_at,
            sequence: of.number("event_sequence", sequence)?,
        })
    })
    .transpose()
}

/// Records how far events are recorded, for many accounts in one statement. Each account may stand in it once.
///
/// # Errors
/// When the database fails.
pub async fn set(tx: &mut Tx, marks: &[(AccountId, EventMark)]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = marks.iter().map(|(id, _)| id.as_uuid()).collect();
    let created: Vec<_> = marks
        .iter()
        .map(|(_, mark)| mark.stream_created_at)
        .collect();
    let sequences: Vec<i64> = marks
        .iter()
        .map(|(_, mark)| to_bigint(mark.sequence))
        .collect();
    sqlx::query(
        "UPDATE account_status s
         SET event_stream_created_at = p.created_at, event_sequence = p.sequence
         FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[])
              AS p (account_id, created_at, sequence)
         WHERE s.account_id = p.account_id",
    )
    .bind(ids)
    .bind(created)
    .bind(sequences)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record event marks"))?;
    Ok(())
}
