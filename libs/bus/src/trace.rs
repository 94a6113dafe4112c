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

struct Reader<'a>(&'a [(String, String)]);

impl Extractor for Reader<'_> {
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
        global::get_text_map_propagator(|propagator| propagator.extract(&Reader(headers)));
    // Fails only where no exporter listens, and then there is no trace to lose.
    let _not_exported = span.set_parent(context);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carrier_replaces_an_older_context_whatever_its_case() {
        let mut headers = vec![("Traceparent".to_owned(), "old".to_owned())];

        Carrier(&mut headers).set("traceparent", "new".to_owned());

        assert_eq!(headers, vec![("traceparent".to_owned(), "new".to_owned())]);
        assert_eq!(Reader(&headers).get("TraceParent"), Some("new"));
    }
}
