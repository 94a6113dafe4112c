//! What is known of a raw mail on the bus, whichever way it went: `received_mails` and `outbound_mails`.

use mailmesh_domain::MailId;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// Finds the SHA-256 that a raw mail must have. None of a mail without a row, and of one that was queued before hashes were kept.
///
/// # Errors
/// When the database fails.
pub async fn find_sha256(tx: &mut Tx, id: MailId) -> Result<Option<[u8; 32]>, StoreError> {
    let found: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT sha256 FROM received_mails WHERE mail_id = $1
         UNION ALL
         SELECT raw_sha256 FROM outbound_mails WHERE mail_id = $1 AND raw_sha256 IS NOT NULL
         LIMIT 1",
    )
    .bind(id.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find the hash of a raw mail"))?;
    let of = RowOf {
        table: "received_mails or outbound_mails",
        id: id.as_uuid(),
    };
    let hash = found.map(|hash| hash.try_into().map_err(|_| of.bad("sha256")));
    hash.transpose()
}
