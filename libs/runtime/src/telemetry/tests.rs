use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(settings: &TelemetrySettings, work: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let layer = log_layer(settings, move || writer.clone()).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, work);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn settings(format: LogFormat, level: &str) -> TelemetrySettings {
    TelemetrySettings {
        format,
        level: level.to_owned(),
        ..TelemetrySettings::default()
    }
}

#[test]
fn commands_of_mail_libraries_are_cut_whatever_the_filter_says() {
    let all = settings(
        LogFormat::Text,
        "trace,async_imap=trace,lettre=trace,h2=trace",
    );

    let text = logged(&all, || {
        tracing::trace!(target: "async_imap::client", "A1 AUTHENTICATE XOAUTH2 secret-1");
        tracing::error!(target: "async_imap", "secret-2");
        tracing::warn!(target: "imap_proto::parser", "secret-3");
        tracing::debug!(target: "lettre::transport", "secret-4");
        tracing::debug!(target: "h2::codec", "secret-5");
        tracing::debug!(target: "sqlx::query", "secret-6");
        tracing::warn!(target: "sqlx::query", "slow");
        tracing::trace!(target: "mailmesh_mail", "ours");
        tracing::info!(target: "lettres", "theirs");
    });

    assert!(!text.contains("secret"), "{text}");
    for kept in ["slow", "ours", "theirs"] {
        assert!(text.contains(kept), "{text}");
    }
}

#[test]
fn json_line_carries_message_fields_and_those_of_its_spans() {
    let text = logged(&settings(LogFormat::Json, "info"), || {
        let worker = account_span("a", "support");
        let span = tracing::info_span!(parent: &worker, "handle.send_mail", mail.id = 7);
        span.in_scope(|| tracing::info!("Mail sent"));
        tracing::debug!("not at this level");
    });

    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{text}");
    for part in [
        "\"message\":\"Mail sent\"",
        "\"account.id\":\"a\"",
        "\"mail.id\":7",
        "\"account.key\":\"support\"",
        "handle.send_mail",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_level_that_keeps_warnings_alone_keeps_their_account() {
    let text = logged(&settings(LogFormat::Json, "warn"), || {
        account_span("a", "support").in_scope(|| tracing::warn!("A mail was quarantined"));
    });

    assert!(text.contains("\"account.key\":\"support\""), "{text}");
}

#[test]
fn json_line_tells_an_error_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot renew leases")]
    struct Failure(#[source] io::Error);
    let failure = Failure(io::Error::other("connection refused"));

    let text = logged(&settings(LogFormat::Json, "info"), || {
        tracing::warn!(error = &failure as &dyn std::error::Error, "Tried again");
    });

    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let error = line.get("error").and_then(serde_json::Value::as_str);
    assert_eq!(error, Some("cannot renew leases: connection refused"));
}

#[test]
fn bad_level_and_ratio_are_refused() {
    let level = settings(LogFormat::Text, "info,=nonsense=");
    let ratio = TelemetrySettings {
        trace_ratio: 1.5,
        ..TelemetrySettings::default()
    };

    assert!(matches!(
        level.validate(),
        Err(TelemetryError::Level { .. })
    ));
    assert!(matches!(
        ratio.validate(),
        Err(TelemetryError::Ratio { .. })
    ));
    assert!(TelemetrySettings::default().validate().is_ok());
}
