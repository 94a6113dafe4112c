//! `event_proofs`: from when on events must prove whose they are.

use time::OffsetDateTime;

use crate::{StoreError, Tx};

/// Returns the moment from which on every event of a service carries a proof.
///
/// # Errors
/// When the database fails.
pub async fn demanded_from(tx: &mut Tx) -> Result<OffsetDateTime, StoreError> {
    sqlx::query_scalar("SELECT demanded_from FROM event_proofs")
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::query("load from when events are proved"))
}
