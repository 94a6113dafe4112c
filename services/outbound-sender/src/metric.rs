use std::collections::BTreeMap;
use std::sync::LazyLock;

use opentelemetry::metrics::{Counter, Gauge, Meter};
use opentelemetry::{KeyValue, global};

use crate::decide::MailEventKind;

fn meter() -> Meter {
    global::meter("mailmesh_outbound_sender")
}

static MAILS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("mailmesh_outbound_mails_total")
        .with_description("Outcomes of attempts and commands that were published, by outcome")
        .build()
});

static QUEUED: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("mailmesh_outbound_queue_mails")
        .with_description(
            "Queued mails of the accounts that this replica sends for, at most 100,000",
        )
        .build()
});

static OVERDUE: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("mailmesh_outbound_queue_overdue_seconds")
        .with_description("Seconds since the queued mail that waits longest was due")
        .build()
});

static ACCOUNTS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    meter()
        .u64_gauge("mailmesh_outbound_accounts")
        .with_description("Accounts that this replica sends for, by state")
        .build()
});

/// Counts what was published of mails.
pub(crate) fn count(outcome: &'static str, mails: usize) {
    let mails = u64::try_from(mails).unwrap_or(u64::MAX);
    if mails > 0 {
        MAILS.add(mails, &[KeyValue::new("outcome", outcome)]);
    }
}

pub(crate) const fn outcome_of(kind: MailEventKind) -> &'static str {
    match kind {
        MailEventKind::Sent => "sent",
        MailEventKind::Deferred => "deferred",
        MailEventKind::Failed => "failed",
        MailEventKind::Uncertain => "uncertain",
    }
}

pub(crate) fn set_queue(mails: u64, overdue_seconds: u64) {
    QUEUED.record(mails, &[]);
    OVERDUE.record(overdue_seconds, &[]);
}

/// Records how many accounts are in each state.
pub(crate) fn set_accounts(counts: &BTreeMap<&'static str, u64>) {
    for (state, count) in counts {
        ACCOUNTS.record(*count, &[KeyValue::new("state", *state)]);
    }
}
