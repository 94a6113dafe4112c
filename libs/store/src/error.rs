use std::fmt;

/// The database's own words on a failure.
pub struct Cause(sqlx::Error);

impl fmt::Debug for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Cause {}

/// A statement or the connection to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the Postgres URL or CA file is not usable")]
    Settings(#[source] Cause),
    /// No connection could be had.
    #[error("cannot connect to Postgres")]
    Connect(#[source] Cause),
    /// A statement failed.
    #[error("cannot {operation}")]
    Query {
        operation: &'static str,
        #[source]
        cause: Cause,
    },
    /// A unique value is taken, or a row is still referred to.
    #[error("cannot {operation}: {constraint} is violated")]
    Conflict {
        operation: &'static str,
        /// The constraint's name.
        constraint: String,
    },
    /// A migration failed.
    #[error("cannot migrate the database")]
    Migrate(#[source] sqlx_migrate::MigrateFailure),
    /// A stored value is none that this release knows.
    #[error("row {id} of {table} has a bad {column}")]
    BadRow {
        table: &'static str,
        column: &'static str,
        /// The row's id.
        id: String,
    },
    /// An update that must hit one row did not.
    #[error("cannot {operation}: the row is gone or was changed meanwhile")]
    RowGone { operation: &'static str },
}

pub(crate) mod sqlx_migrate {
    /// The migration engine's own words.
    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    pub struct MigrateFailure(#[from] sqlx::migrate::MigrateError);
}

impl StoreError {
    /// Returns whether the database refuses a value of the statement, and would each time: a data exception (SQLSTATE class
    /// 22), a constraint other than a key (23), a limit of the program (54).
    pub fn is_refused_value(&self) -> bool {
        let Self::Query { cause, .. } = self else {
            return false;
        };
        let code = cause
            .0
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| {
            ["22", "23", "54"]
                .iter()
                .any(|class| code.starts_with(class))
        })
    }

    pub(crate) fn settings(error: sqlx::Error) -> Self {
        Self::Settings(Cause(error))
    }

    pub(crate) fn connect(error: sqlx::Error) -> Self {
        Self::Connect(Cause(error))
    }

    /// Returns whether the server may answer in a while: it is starting, restarting, or has no connection left now. A refused
    /// sign-in and an unknown database do not pass.
    pub fn may_pass(&self) -> bool {
        let (Self::Connect(Cause(cause))
        | Self::Query {
            cause: Cause(cause),
            ..
        }) = self
        else {
            return false;
        };
        match cause {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                matches!(&*code, "57P01" | "57P02" | "57P03" | "53300") || code.starts_with("08")
            }),
            _ => false,
        }
    }

    /// Returns the error mapper of one operation.
    pub(crate) fn query(operation: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| {
            let constraint = error.as_database_error().and_then(|error| {
                (error.is_unique_violation() || error.is_foreign_key_violation())
                    .then(|| error.constraint().unwrap_or("a constraint").to_owned())
            });
            match constraint {
                Some(constraint) => Self::Conflict {
                    operation,
                    constraint,
                },
                None => Self::Query {
                    operation,
                    cause: Cause(error),
                },
            }
        }
    }
}
