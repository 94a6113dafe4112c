//! Bounded waiting. A connection whose peer vanished without a word (failover, a dropped route) would
//! be waited for until TCP gives up, a quarter of an hour or for ever.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Either, Execute, Executor, SqlStr};
use tokio::time::timeout;

/// How long a statement may take; all of ours are short.
const LIMIT: Duration = Duration::from_secs(15);

/// How long answers are waited for, and which connections are not to be used any more.
#[derive(Debug, Clone)]
pub(crate) struct StatementTimeout {
    limit: Duration,
    /// Connections that were opened before are as likely dead as the one that failed then.
    suspect_before: Arc<Mutex<Option<Instant>>>,
}

impl StatementTimeout {
    pub(crate) fn new() -> Self {
        Self {
            limit: LIMIT,
            suspect_before: Arc::default(),
        }
    }

    pub(crate) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Returns whether a connection of this age may be used.
    pub(crate) fn trusts(&self, age: Duration) -> bool {
        let suspect = *self.lock();
        suspect.is_none_or(|since| age < since.elapsed())
    }

    /// Has every connection that is open now replaced.
    pub(crate) fn suspect_all(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// Waits for an answer; a broken connection and a silent one make all others suspect.
    pub(crate) async fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match timeout(self.limit, answer).await {
            Ok(answered) => answered.inspect_err(|error| self.note(error)),
            Err(_) => Err(self.silence()),
        }
    }

    fn note(&self, error: &sqlx::Error) {
        if doubt_by(error) == SuspectConnections::All {
            self.suspect_all();
        }
    }

    fn silence(&self) -> sqlx::Error {
        self.suspect_all();
        let words = format!("no answer within {} s", self.limit.as_secs_f32());
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, words))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.suspect_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose answers are waited for only so long.
#[derive(Debug)]
pub(crate) struct TimedConnection<'c> {
    pub(crate) connection: &'c mut PgConnection,
    pub(crate) statement_timeout: &'c StatementTimeout,
    /// Whether an answer is under way: with one that nobody took, the connection cannot be used again.
    pub(crate) is_awaiting: &'c mut bool,
}

impl<'c> TimedConnection<'c> {
    async fn wait<T>(
        statement_timeout: &'c StatementTimeout,
        is_awaiting: &'c mut bool,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        *is_awaiting = true;
        let answered = statement_timeout.wait(answer).await;
        *is_awaiting = is_unfinished(&answered);
        answered
    }

    fn steps(self, statement: Plain) -> BoxStream<'c, Step> {
        let statement_timeout = self.statement_timeout;
        *self.is_awaiting = true;
        let rest = (self.connection.fetch_many(statement), self.is_awaiting);
        stream::unfold(Some(rest), move |rest| async move {
            let (mut steps, is_awaiting) = rest?;
            match statement_timeout.wait(steps.next().map(Ok)).await {
                Ok(Some(Ok(step))) => Some((Ok(step), Some((steps, is_awaiting)))),
                Ok(Some(failed)) => {
                    *is_awaiting = is_unfinished(&failed);
                    Some((
                        failed.inspect_err(|error| statement_timeout.note(error)),
                        None,
                    ))
                }
                Ok(None) => {
                    *is_awaiting = false;
                    None
                }
                Err(silence) => Some((Err(silence), None)),
            }
        })
        .boxed()
    }

    fn row(self, statement: Plain) -> BoxFuture<'c, Result<Option<PgRow>, sqlx::Error>> {
        let row = self.connection.fetch_optional(statement);
        Box::pin(Self::wait(self.statement_timeout, self.is_awaiting, row))
    }
}

/// A refusal by the database is a whole answer, unless it concerns the connection itself.
fn is_unfinished<T>(answer: &Result<T, sqlx::Error>) -> bool {
    match answer {
        Ok(_) => false,
        Err(error @ sqlx::Error::Database(_)) => doubt_by(error) != SuspectConnections::None,
        Err(_) => true,
    }
}

/// Which connections a failure makes unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuspectConnections {
    None,
    This,
    All,
}

fn doubt_by(error: &sqlx::Error) -> SuspectConnections {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => SuspectConnections::All,
        sqlx::Error::Database(error) => error
            .code()
            .map_or(SuspectConnections::None, |code| doubt_of(&code)),
        _ => SuspectConnections::None,
    }
}

/// By SQLSTATE (Postgres documentation, appendix A).
fn doubt_of(code: &str) -> SuspectConnections {
    match code {
        // Read-only transaction: opened during a fail-over, or to a server that is not the primary any more. Such a session
        // stays as it is when the server becomes writable.
        // 57P01 to 57P04: shut down by the administrator or after a crash, not ready, its database dropped.
        "25006" | "57P01" | "57P02" | "57P03" | "57P04" => SuspectConnections::All,
        // This session was idle for too long, in a transaction or outside of one; or (0A000, 26000) a statement was prepared
        // before a migration, or by way of a pooler that lost it.
        "25P03" | "25P04" | "57P05" | "0A000" | "26000" => SuspectConnections::This,
        // Connection exceptions.
        _ if code.starts_with("08") => SuspectConnections::All,
        // Neither 53300 (too many connections) nor 55P03 and 57014 (a lock or a statement that took too long) say anything of
        // the connections that stand.
        _ => SuspectConnections::None,
    }
}

type Step = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

/// A statement of which nothing is generic any more, so that executing it is compiled here and not once more in each
/// crate that has one.
struct Plain {
    sql: SqlStr,
    arguments: Result<Option<PgArguments>, BoxDynError>,
    is_persistent: bool,
}

impl Plain {
    fn of<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        Self {
            arguments: query.take_arguments(),
            is_persistent: query.persistent(),
            sql: query.sql(),
        }
    }
}

impl Execute<'_, Postgres> for Plain {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        std::mem::replace(&mut self.arguments, Ok(None))
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}

impl<'c> Executor<'c> for TimedConnection<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.steps(Plain::of(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.row(Plain::of(query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let statement = self.connection.prepare_with(sql, parameters);
        Box::pin(Self::wait(
            self.statement_timeout,
            self.is_awaiting,
            statement,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_the_server_casts_doubt_on_connections_and_a_refused_statement_does_not() {
        for (code, doubt) in [
            ("25006", SuspectConnections::All),
            ("57P01", SuspectConnections::All),
            ("57P02", SuspectConnections::All),
            ("57P03", SuspectConnections::All),
            ("57P04", SuspectConnections::All),
            ("08006", SuspectConnections::All),
            ("08P01", SuspectConnections::All),
            ("25P03", SuspectConnections::This),
            ("25P04", SuspectConnections::This),
            ("57P05", SuspectConnections::This),
            ("0A000", SuspectConnections::This),
            ("26000", SuspectConnections::This),
            ("53300", SuspectConnections::None),
            ("53100", SuspectConnections::None),
            ("55P03", SuspectConnections::None),
            ("57014", SuspectConnections::None),
            ("40001", SuspectConnections::None),
            ("23505", SuspectConnections::None),
            ("42501", SuspectConnections::None),
        ] {
            assert_eq!(doubt_of(code), doubt, "{code}");
        }
    }
}
