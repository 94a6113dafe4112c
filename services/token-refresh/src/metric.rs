use mailmesh_domain::GrantState;
use opentelemetry::metrics::{Counter, Gauge};
use opentelemetry::{KeyValue, global};

/// What this service counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    refreshes: Counter<u64>,
    stuck: Gauge<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("mailmesh_token_refresh");
        Self {
            refreshes: meter
                .u64_counter("mailmesh_token_refreshes_total")
                .with_description("Refreshes, by what became of them")
                .build(),
            stuck: meter
                .u64_gauge("mailmesh_grants_stuck")
                .with_description("Grants that cannot be refreshed, by state")
                .build(),
        }
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        self.refreshes.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn show_stuck(&self, counts: &[(GrantState, i64)]) {
        for state in [GrantState::SignInRequired, GrantState::Suspended] {
            let found = counts.iter().find(|(of, _)| *of == state);
            let count = found.map_or(0, |(_, count)| *count);
            let label = KeyValue::new("state", state.as_str());
            self.stuck
                .record(u64::try_from(count).unwrap_or_default(), &[label]);
        }
    }
}
