use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// What this service counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    sign_ins: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("mailmesh_auth_callback");
        Self {
            sign_ins: meter
                .u64_counter("mailmesh_sign_ins_total")
                .with_description("Sign-ins that came back, by how they ended")
                .build(),
        }
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        self.sign_ins.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
