use std::sync::Arc;

use anyhow::{Context, Result};
use mailmesh_bus::{ConsumerSettings, Delivery, Handler, HandlerError, StreamKind, trace};
use opentelemetry::global;
use opentelemetry::trace::{TraceContextExt, TraceId, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

use crate::world::{background, bus, outgoing};

struct Tracing {
    seen: mpsc::Sender<TraceId>,
}

fn current_trace() -> TraceId {
    Span::current().context().span().span_context().trace_id()
}

impl Handler for Tracing {
    const CONSUMER: &'static str = "tracing";

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        let mut results = Vec::new();
        for delivery in deliveries {
            // A batch has messages of many publishers: each message is handled in a span of its own.
            let span = tracing::info_span!("handle");
            trace::continue_from(&span, &delivery.headers);
            let trace = span.in_scope(current_trace);
            results.push(self.seen.send(trace).await.map_err(HandlerError::retry));
        }
        results
    }
}

#[tokio::test]
async fn handler_works_in_the_trace_of_the_publisher() -> Result<()> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let tracers = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(tracers.tracer("test"));
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let bus = bus().await?;
    let (seen_sender, mut seen) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let (of, token) = (bus.clone(), stop.clone());
    let settings = ConsumerSettings::new(StreamKind::MailSend, &["mail.send"]);
    let handler = Arc::new(Tracing { seen: seen_sender });
    let task = background(async move { of.consume(handler, settings, token).await });

    let mut message = outgoing("mail.send", "1", b"x");
    let span = tracing::info_span!("publish");
    let trace = span.in_scope(|| {
        trace::inject(&mut message.headers);
        current_trace()
    });
    bus.publish(message).await?;

    assert_ne!(trace, TraceId::INVALID);
    assert_eq!(seen.recv().await.context("handled")?, trace);
    stop.cancel();
    task.finish().await??;
    Ok(())
}
