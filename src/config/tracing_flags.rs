//! The flags about traces.

// Help is read in a terminal, where Markdown would only get in the way.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)]

use clap::Args;

/// The flags about traces, as typed.
#[derive(Clone, Debug, Args)]
pub struct TracingFlags {
    /// Give requests without a valid traceparent one (W3C Trace Context); valid ones are passed on
    ///
    /// Implied by --otlp.
    #[arg(long, help_heading = "Tracing")]
    pub traceparent: bool,
    /// URL of a collector that is sent spans by OTLP over HTTP, such as http://127.0.0.1:4318 [default: none]
    ///
    /// A separate thread sends them, and no request waits for it: if its queue is full, spans are dropped and
    /// counted. Without a path, /v1/traces. Requests get an X-Request-Id.
    #[arg(long, value_name = "URL", help_heading = "Tracing")]
    pub otlp: Option<String>,
    /// Header for the collector, such as a key; repeatable [default: none]
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Tracing")]
    pub otlp_headers: Vec<String>,
    /// Name of this service in spans
    #[arg(long, value_name = "NAME", default_value = "evener", help_heading = "Tracing")]
    pub otlp_service: String,
    /// Share of the traces that begin here which is sampled; of others, their callers have decided
    #[arg(long, value_name = "PERCENT", default_value = "1%", help_heading = "Tracing")]
    pub trace_sample: String,
}
