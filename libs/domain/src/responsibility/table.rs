mod app;
mod browser;
mod grant;
mod mail;
mod mesh;
mod provider;
mod reply;
mod server;

use std::time::Duration;

use super::{FailureCause as Cause, History};
use crate::verdict::{MustAct, VerdictKind};

/// A server that worked before is given this long to come back before anybody is called.
const OUTAGE: Duration = Duration::from_hours(1);

/// For which history a row holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// It worked before.
    Worked,
    /// It worked before and now the work stands.
    Stands,
    /// It worked before and has stood for longer than an outage.
    StandsLong,
}

impl When {
    pub(super) fn fits(self, history: History) -> bool {
        match self {
            Self::Always => true,
            Self::Worked => history.has_worked,
            Self::Stands => history.has_worked && !history.failing_for.is_zero(),
            Self::StandsLong => history.has_worked && history.failing_for >= OUTAGE,
        }
    }
}

pub(super) struct Row {
    pub(super) cause: Cause,
    pub(super) when: When,
    pub(super) kind: VerdictKind,
    pub(super) who: MustAct,
    pub(super) also: Option<MustAct>,
    pub(super) action: &'static str,
}

const fn always(cause: Cause, kind: VerdictKind, who: MustAct, action: &'static str) -> Row {
    Row {
        cause,
        when: When::Always,
        kind,
        who,
        also: None,
        action,
    }
}

impl Row {
    const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    const fn or(mut self, also: MustAct) -> Self {
        self.also = Some(also);
        self
    }
}

pub(super) const UNKNOWN: Row = always(
    Cause::Unknown,
    VerdictKind::Unknown,
    MustAct::Administrator,
    "It is tried again a few times. If it stays, look the code up in the provider's documentation and check the client configuration.",
);

/// The first row of a cause that fits its history decides; a cause has its rows in one file, apart from those for
/// applications.
const TABLES: [&[Row]; 7] = [
    browser::ROWS,
    grant::ROWS,
    provider::ROWS,
    server::ROWS,
    reply::ROWS,
    mail::ROWS,
    mesh::ROWS,
];

/// Returns the rows that decide, in order: for applications their own first.
pub(super) fn rows(is_app: bool) -> impl Iterator<Item = &'static Row> {
    let of_app = if is_app { app::ROWS } else { &[] };
    of_app
        .iter()
        .chain(TABLES.into_iter().flatten())
        .chain([&UNKNOWN])
}
