//! Logs, traces and metrics of a process.

mod json;

use std::fmt::Display;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::Registry;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Span, Subscriber, error_span};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use json::JsonLines;

const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// These log tokens, passwords or whole mails when asked to: async-imap full commands at trace, lettre the conversation.
const NEVER: [&str; 3] = ["async_imap", "imap_proto", "lettre"];
/// These drown our own lines, or log headers and statements; their warnings are enough. Cutting them also keeps the
/// exporter's own requests out of what it exports.
const WARNINGS_ONLY: [&str; 13] = [
    "sqlx",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rustls",
    "tokio_rustls",
    "tower",
    "tower_http",
    "async_nats",
    "oauth2",
    "opentelemetry",
    "opentelemetry_sdk",
];

/// How a process reports on itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub format: LogFormat,
    /// `info`, or directives such as `info,mailmesh_bus=debug`.
    pub level: String,
    /// The base address of an OTLP/HTTP collector for traces, such as `http://collector:4318`.
    pub otlp_endpoint: Option<String>,
    /// The part of traces that is exported, from 0 to 1.
    pub trace_ratio: f64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
            otlp_endpoint: None,
            trace_ratio: 1.0,
        }
    }
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not understood.
    #[error("telemetry.level {level:?} is neither a level nor a list of directives")]
    Level {
        level: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The ratio is no part.
    #[error("telemetry.trace_ratio is {ratio}, it must be between 0 and 1")]
    Ratio { ratio: f64 },
    /// The trace exporter cannot be built.
    #[error("cannot export traces to telemetry.otlp_endpoint {endpoint:?}")]
    Exporter {
        endpoint: String,
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// The metrics reader cannot be built.
    #[error("cannot collect metrics")]
    Metrics(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// Somebody else has set up logging.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry going; [`Telemetry::shut_down`] sends what has not been sent yet.
#[derive(Debug)]
pub struct Telemetry {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
    registry: Registry,
}

impl TelemetrySettings {
    /// Checks the level and the ratio.
    pub fn validate(&self) -> Result<(), TelemetryError> {
        self.filter()?;
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            return Err(TelemetryError::Ratio {
                ratio: self.trace_ratio,
            });
        }
        Ok(())
    }

    fn filter(&self) -> Result<EnvFilter, TelemetryError> {
        let parsed = EnvFilter::try_new(&self.level);
        parsed.map_err(|source| TelemetryError::Level {
            level: self.level.clone(),
            source,
        })
    }
}

impl Telemetry {
    /// Sets up logs on standard error, traces and metrics for the whole process.
    pub fn init(service: &str, settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        settings.validate()?;
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .build();
        let tracers = tracers(settings, resource.clone())?;
        let (meters, registry) = meters(resource)?;
        let trace_layer = tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer("mailmesh"))
            .with_filter(filter_fn(is_traced).and(settings.filter()?));
        tracing_subscriber::registry()
            .with(log_layer(settings, std::io::stderr)?)
            .with(trace_layer)
            .try_init()
            .map_err(TelemetryError::Twice)?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(tracers.clone());
        global::set_meter_provider(meters.clone());
        Ok(Self {
            tracers,
            meters,
            registry,
        })
    }

    /// Returns what `/metrics` shows.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Sends what has not been sent yet. Blocks for up to some seconds: call it outside the async runtime.
    pub fn shut_down(self) {
        // Reported by the SDK itself, as warnings; the process ends in either case.
        drop(self.tracers.shutdown_with_timeout(FLUSH_TIMEOUT));
        drop(self.meters.shutdown());
    }
}

/// Says whether an event or span may be recorded at all, whatever the settings say.
fn is_allowed(metadata: &Metadata<'_>) -> bool {
    let is_of = |names: &[&str]| {
        let root = metadata.target().split("::").next().unwrap_or_default();
        names.contains(&root)
    };
    if is_of(&NEVER) {
        return false;
    }
    !is_of(&WARNINGS_ONLY) || *metadata.level() <= LevelFilter::WARN
}

/// Target of spans that say in log lines whom the work is for. They live as long as a task or a worker and are no part of a
/// trace: all that an account ever does would be one.
pub(crate) const LOG_CONTEXT: &str = "mailmesh_context";

/// Makes the span in which work on an account is logged, so that each line carries the account's id and key.
pub fn account_span(id: impl Display, key: impl Display) -> Span {
    // As an error, since a filter that keeps warnings alone would else take both from them.
    error_span!(target: LOG_CONTEXT, parent: None, "account", account.id = %id, account.key = %key)
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    is_allowed(metadata) && metadata.target() != LOG_CONTEXT
}

fn log_layer<S, W>(
    settings: &TelemetrySettings,
    writer: W,
) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter_fn(is_allowed).and(settings.filter()?);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match settings.format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            layer.with_ansi(is_terminal).with_filter(filter).boxed()
        }
        LogFormat::Json => layer
            .json()
            .event_format(JsonLines)
            .with_filter(filter)
            .boxed(),
    })
}

fn tracers(
    settings: &TelemetrySettings,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &settings.otlp_endpoint else {
        // Traces still pass through from message to message, for those who export them.
        let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        return Ok(builder.with_sampler(sampler).build());
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(FLUSH_TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Exporter {
            endpoint: endpoint.clone(),
            source,
        })?;
    let ratio = Sampler::TraceIdRatioBased(settings.trace_ratio);
    Ok(builder
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_batch_exporter(exporter)
        .build())
}

fn meters(resource: Resource) -> Result<(SdkMeterProvider, Registry), TelemetryError> {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        // Our names carry unit and suffix already; without these two they would be doubled.
        .without_units()
        .without_counter_suffixes()
        .build()
        .map_err(TelemetryError::Metrics)?;
    let meters = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .build();
    Ok((meters, registry))
}

#[cfg(test)]
mod tests;
