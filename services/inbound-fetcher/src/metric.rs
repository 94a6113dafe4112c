use mailmesh_domain::Key;
use opentelemetry::metrics::{Counter, Gauge};
use opentelemetry::{KeyValue, global};

#[derive(Debug)]
pub(crate) struct Metrics {
    received: Counter<u64>,
    received_bytes: Counter<u64>,
    failures: Counter<u64>,
    quarantined: Counter<u64>,
    contradicted: Counter<u64>,
    set_aside: Counter<u64>,
    unproved: Gauge<u64>,
    accounts: Gauge<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("mailmesh-inbound-fetcher");
        Self {
            received: meter
                .u64_counter("mailmesh_mails_received")
                .with_description("Mails published as mail.received")
                .build(),
            received_bytes: meter
                .u64_counter("mailmesh_mails_received_bytes")
                .with_description("Bytes of the mails published as mail.received")
                .build(),
            failures: meter
                .u64_counter("mailmesh_inbound_attempts_failed")
                .with_description("Attempts to watch an account that ended in a failure")
                .build(),
            quarantined: meter
                .u64_counter("mailmesh_mails_quarantined")
                .with_description("Mails set aside because they could not be read")
                .build(),
            contradicted: meter
                .u64_counter("mailmesh_events_contradicted")
                .with_description("Read back events whose mail is another one, or was never there")
                .build(),
            set_aside: meter
                .u64_counter("mailmesh_events_set_aside")
                .with_description(
                    "Events read back under our name that cannot be decoded or prove not to be ours",
                )
                .build(),
            unproved: meter
                .u64_gauge("mailmesh_account_unproved_seconds")
                .with_description("Seconds since the server last confirmed the folders' state")
                .build(),
            accounts: meter
                .u64_gauge("mailmesh_inbound_accounts_held")
                .with_description("Accounts that this replica watches")
                .build(),
        }
    }

    pub(crate) fn count_received(&self, mails: usize, bytes: u64) {
        self.received.add(u64::try_from(mails).unwrap_or(0), &[]);
        self.received_bytes.add(bytes, &[]);
    }

    pub(crate) fn count_failure(&self) {
        self.failures.add(1, &[]);
    }

    pub(crate) fn count_quarantined(&self) {
        self.quarantined.add(1, &[]);
    }

    pub(crate) fn count_contradicted(&self) {
        self.contradicted.add(1, &[]);
    }

    pub(crate) fn count_set_aside(&self) {
        self.set_aside.add(1, &[]);
    }

    pub(crate) fn show_unproved(&self, account: &Key, seconds: u64) {
        let account = KeyValue::new("account", account.as_str().to_owned());
        self.unproved.record(seconds, &[account]);
    }

    pub(crate) fn show_accounts(&self, count: usize) {
        self.accounts.record(u64::try_from(count).unwrap_or(0), &[]);
    }
}
