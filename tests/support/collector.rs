//! A collector of traces: reads OTLP over HTTP with the code that OpenTelemetry generates for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::origin::Conn;
use super::{Origin, eventually};

/// A span, with its attributes as texts by their names.
#[derive(Clone, Debug)]
pub struct SeenSpan {
    pub span: Span,
    pub attributes: BTreeMap<String, String>,
    /// Those of the resource.
    pub resource: BTreeMap<String, String>,
}

impl SeenSpan {
    /// An attribute; empty if there is none.
    pub fn says(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

pub struct Collector {
    pub origin: Origin,
    spans: Arc<Mutex<Vec<SeenSpan>>>,
}

impl Collector {
    /// One that takes what it is sent.
    pub fn start() -> Self {
        Self::failing("", 0)
    }

    /// One that answers like this so often, keeping nothing, and takes what comes after that.
    pub fn failing(answer: &'static str, times: usize) -> Self {
        let left = Mutex::new(times);
        Self::with(move |conn| {
            let mut left = left.lock().expect("lock");
            let fails = *left > 0;
            *left = left.saturating_sub(1);
            conn.send(if fails { answer } else { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" });
            !fails
        })
    }

    /// One that keeps what it is sent if `answer` says so.
    fn with(answer: impl Fn(&mut Conn) -> bool + Send + Sync + 'static) -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&spans);
        let origin = Origin::start(move |mut conn| {
            while let Some(head) = conn.head() {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                let Some(body) = conn.bytes(length.expect("a length").parse().expect("a number"))
                else {
                    return;
                };
                let read = spans_of(&ExportTraceServiceRequest::decode(&body[..]).expect("OTLP"));
                if answer(&mut conn) {
                    seen.lock().expect("lock").extend(read);
                }
            }
        });
        Self { origin, spans }
    }

    /// The flags that have spans sent here, of every trace that begins at the balancer.
    pub fn flags(&self) -> [String; 4] {
        let url = format!("http://{}", self.origin.address);
        ["--otlp".to_owned(), url, "--trace-sample".to_owned(), "100%".to_owned()]
    }

    /// All spans, once there are `count`.
    pub fn spans(&self, count: usize) -> Vec<SeenSpan> {
        let spans = || self.spans.lock().expect("lock").clone();
        eventually("all spans have come", || spans().len() >= count);
        let spans = spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn spans_of(request: &ExportTraceServiceRequest) -> Vec<SeenSpan> {
    let mut found = Vec::new();
    for resource in &request.resource_spans {
        let of_resource = resource.resource.as_ref().map_or(&[][..], |known| &known.attributes);
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            found.push(SeenSpan {
                span: span.clone(),
                attributes: texts(&span.attributes),
                resource: texts(of_resource),
            });
        }
    }
    found
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (attribute.key.clone(), value)
    };
    let read: BTreeMap<_, _> = attributes.iter().map(text).collect();
    assert_eq!(read.len(), attributes.len(), "an attribute twice: {attributes:?}");
    read
}

/// The digits of an identifier.
pub fn digits(id: &[u8]) -> String {
    id.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}
