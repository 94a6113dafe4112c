//! From columns to domain types.

use std::fmt::Display;
use std::str::FromStr;

use mailmesh_secrets::SealedSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgQueryResult;
use sqlx::types::Json;

use crate::StoreError;

/// Checks that an update of one row has hit it.
pub(crate) fn one_row(done: &PgQueryResult, operation: &'static str) -> Result<(), StoreError> {
    if done.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::RowGone { operation })
}

/// Names the row that a value was read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowOf<I> {
    pub(crate) table: &'static str,
    pub(crate) id: I,
}

impl<I: Display> RowOf<I> {
    pub(crate) fn bad(&self, column: &'static str) -> StoreError {
        StoreError::BadRow {
            table: self.table,
            column,
            id: self.id.to_string(),
        }
    }

    pub(crate) fn parse<T: FromStr>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.bad(column))
    }

    pub(crate) fn number<T, F>(&self, column: &'static str, value: F) -> Result<T, StoreError>
    where
        T: TryFrom<F>,
    {
        T::try_from(value).map_err(|_| self.bad(column))
    }

    pub(crate) fn sealed(
        &self,
        column: &'static str,
        bytes: Option<Vec<u8>>,
    ) -> Result<Option<SealedSecret>, StoreError> {
        bytes
            .map(|bytes| SealedSecret::from_bytes(bytes).map_err(|_| self.bad(column)))
            .transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        value: Option<serde_json::Value>,
    ) -> Result<Option<T>, StoreError> {
        value
            .map(|value| serde_json::from_value(value).map_err(|_| self.bad(column)))
            .transpose()
    }
}

pub(crate) fn to_json<T: Serialize>(value: Option<&T>) -> Option<Json<&T>> {
    value.map(Json)
}

pub(crate) fn sealed_bytes(secret: Option<&SealedSecret>) -> Option<&[u8]> {
    secret.map(SealedSecret::as_bytes)
}

/// Postgres has no unsigned numbers; nothing that is counted here comes near the limit.
pub(crate) fn to_bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
