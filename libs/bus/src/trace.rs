use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::header::{Headers, find};

struct Carrier<'a>(&'a mut Headers);

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
        self.0.push((key.to_owned(), value));
    }
}

struct HeaderReader<'a>(&'a [(String, String)]);

impl Extractor for HeaderReader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        find(self.0, key)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Writes the current span's trace context into the headers.
pub fn inject(headers: &mut Headers) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Carrier(headers));
    });
}

/// Makes `span` a part of the trace that the headers name, if they name one.
pub fn continue_from(span: &Span, headers: &[(String, String)]) {
    let context =
        global::get_text_map_propagator(|propagator| propagator.extract(&HeaderReader(headers)));
    // Fails only where no exporter listens, and then there is no trace to lose.
    let _not_exported = span.set_parent(context);
}

/// Says whether `text` is a `traceparent` as W3C Trace Context has it: version, trace, parent and flags in lower-case hex.
pub fn is_trace_parent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [version, trace, parent, flags] => {
            is_hex(version, 2)
                && version != "ff"
                && is_id(trace, 32)
                && is_id(parent, 16)
                && is_hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_parent_is_told_from_other_text() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_trace_parent(good));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\0",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert!(!is_trace_parent(bad), "{bad:?}");
        }
    }

    #[test]
    fn carrier_replaces_an_older_context_whatever_its_case() {
        let mut headers = vec![("Traceparent".to_owned(), "old".to_owned())];

        Carrier(&mut headers).set("traceparent", "new".to_owned());

        assert_eq!(headers, vec![("traceparent".to_owned(), "new".to_owned())]);
        assert_eq!(HeaderReader(&headers).get("TraceParent"), Some("new"));
    }
}
