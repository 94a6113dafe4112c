use std::sync::LazyLock;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use crate::publish::error::PublishError;
use crate::publish::message::PublishReceipt;

static PUBLISHED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("mailmesh_bus")
        .u64_counter("mailmesh_bus_publishes_total")
        .with_description("Messages published, by what the stream answered")
        .build()
});

static RESTORED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("mailmesh_bus")
        .u64_counter("mailmesh_bus_streams_restored_total")
        .with_description("Streams that were gone and were made again; what they held is lost")
        .build()
});

static HANDLED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("mailmesh_bus")
        .u64_counter("mailmesh_bus_messages_handled_total")
        .with_description("Messages settled, by consumer and outcome")
        .build()
});

static WORKED: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    global::meter("mailmesh_bus")
        .f64_histogram("mailmesh_bus_handle_seconds")
        .with_description("Time that handlers took, by consumer; one batch counts once")
        .with_boundaries(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0])
        .build()
});

pub(crate) fn published(answer: &Result<PublishReceipt, PublishError>) {
    let outcome = match answer {
        Ok(published) if published.is_duplicate => "duplicate",
        Ok(_) => "stored",
        Err(PublishError::StreamFull { .. }) => "full",
        Err(PublishError::NoStorage { .. }) => "no_storage",
        Err(PublishError::Fenced { .. }) => "fenced",
        Err(PublishError::Unknown { .. }) => "unknown",
        Err(PublishError::NotSent { .. } | PublishError::NoStream { .. }) => "not_sent",
        Err(_) => "refused",
    };
    PUBLISHED.add(1, &[KeyValue::new("outcome", outcome)]);
}

pub(crate) fn restored(stream: &'static str) {
    RESTORED.add(1, &[KeyValue::new("stream", stream)]);
}

pub(crate) fn handled(consumer: &'static str, outcome: &'static str) {
    let labels = [
        KeyValue::new("consumer", consumer),
        KeyValue::new("outcome", outcome),
    ];
    HANDLED.add(1, &labels);
}

pub(crate) fn worked(consumer: &'static str, seconds: f64) {
    WORKED.record(seconds, &[KeyValue::new("consumer", consumer)]);
}
