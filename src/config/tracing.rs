//! Traces: whether requests get one, how many of those that begin here are sampled, and where spans go.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use super::access_log::sample_rate;
use super::mistake::{Mistakes, Place};
use super::sources::Sources;
use super::value;
use crate::access_log::{LineLayout, LogField, SampleRate};
use crate::app_protocol::AppProtocol;
use crate::net::tls::client::{Roots, UpstreamTls};
use crate::net::tls::pem::PemFile;
use crate::otlp::collector::Collector;
use crate::otlp::exporter::ExportConfig;
use crate::plan::{TraceRole, Tracing};
use crate::trace::encode::Resource;

/// The share of traces begun here that is sampled, by default.
const SAMPLE: &str = "1%";

/// What is done about traces, if anything is.
pub(super) fn of(
    sources: &Sources,
    layout: &LineLayout,
    mistakes: &mut Mistakes,
) -> Option<Tracing> {
    let flags = &sources.flags;
    let rate = sample_rate(&flags.tracing.trace_sample);
    let sample = mistakes.note(&sources.place("trace-sample"), rate, SampleRate::ALL);
    let is_logged =
        layout.fields.as_ref().is_some_and(|fields| fields.contains(&LogField::TraceId));
    let role = match () {
        () if flags.tracing.otlp.is_some() => TraceRole::Records,
        () if flags.tracing.traceparent => TraceRole::Begins,
        () if is_logged && flags.access_log.is_some() => TraceRole::Reads,
        () => return None,
    };
    Some(Tracing { role, sample })
}

/// Where spans go, if anywhere.
pub(super) fn export(sources: &Sources, mistakes: &mut Mistakes) -> Option<ExportConfig> {
    let flags = &sources.flags;
    let mut headers = Vec::new();
    for (nth, text) in flags.tracing.otlp_headers.iter().enumerate() {
        let place = sources.nth_place("otlp-headers", nth);
        let read = header(text);
        headers.extend(mistakes.take(&place, read));
    }
    let service = match flags.tracing.otlp_service.as_str() {
        "" => Err("invalid value \"\": expected the name of a service, such as evener".to_owned()),
        name => Ok(name.into()),
    };
    let service = mistakes.note(&sources.place("otlp-service"), service, "".into());
    let place = sources.place("otlp");
    let collector: Collector = mistakes.take(&place, flags.tracing.otlp.as_ref()?.parse())?;
    let tls = if collector.is_https {
        let (at, roots) = roots(sources);
        let roots = mistakes.take(&at, roots)?;
        Some(mistakes.take(&place, tls(roots, &collector))?)
    } else {
        None
    };
    let resource = Resource { service, instance: instance() };
    Some(ExportConfig { collector, headers, tls, resource })
}

/// A header for collectors, which may not frame the message.
fn header(text: &str) -> Result<(String, String), String> {
    value::header(text)?;
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let value = value.trim();
    let ours = ["host", "user-agent", "content-type", "content-length", "transfer-encoding"];
    if ours.iter().chain(&["connection"]).any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(format!("{name} is written by Evener: leave it out"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The roots that endpoints are verified by, and where those are named.
fn roots(sources: &Sources) -> (Place, Result<Roots, String>) {
    match &sources.flags.upstream_ca {
        Some(path) => {
            let place = sources.place("upstream-ca");
            let path = Sources::path(&place, path);
            let read = PemFile::read(Path::new(&path)).and_then(|file| Roots::of_file(&file));
            (place, read)
        }
        None => (sources.place("otlp"), Roots::of_system()),
    }
}

fn tls(roots: Roots, collector: &Collector) -> Result<Arc<ClientConfig>, String> {
    let tls = UpstreamTls::new(Some(Arc::new(roots)), None, "");
    let tls = tls.map_err(|error| error.to_string())?;
    let name = collector.server_name().ok_or("no certificate can be for its host")?;
    Ok(tls.to_endpoint(name, AppProtocol::Http1).config)
}

/// Names this process and no other.
fn instance() -> Box<str> {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Its keys are random: what they make of nothing is, too.
    let [high, low] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
    format!("{high:016x}{low:016x}").into()
}

/// What is no mistake, but may not be what was meant.
pub(super) fn warnings(sources: &Sources) -> Vec<String> {
    let flags = &sources.flags;
    let (exports, begins) = (flags.tracing.otlp.is_some(), flags.tracing.traceparent);
    let mut warnings = Vec::new();
    if !exports && !begins && flags.tracing.trace_sample != SAMPLE {
        warnings.push(("trace-sample", "has no effect without otlp or traceparent"));
    }
    if !exports && !flags.tracing.otlp_headers.is_empty() {
        warnings.push(("otlp-headers", "has no effect without otlp"));
    }
    let told = warnings.into_iter();
    told.map(|(flag, what)| format!("{}: {what}", sources.place(flag))).collect()
}

/// In words.
pub(super) fn described(tracing: Tracing, export: Option<&ExportConfig>) -> String {
    let Tracing { role, sample } = tracing;
    match (role, export) {
        (TraceRole::Reads, _) => "traceparent is read for the access log".to_owned(),
        (TraceRole::Records, Some(ExportConfig { collector, .. })) => {
            format!("spans to {collector}, {sample} of the traces that begin here")
        }
        (TraceRole::Begins | TraceRole::Records, _) => {
            format!("requests without a traceparent get one, {sample} of these sampled")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_for_collectors_frame_nothing() {
        let read = header("x-api-key: a:b").unwrap();
        assert_eq!(read, ("x-api-key".to_owned(), "a:b".to_owned()));
        for bad in ["Content-Length: 1", "host: a", "no colon", "a: b\r\nc: d"] {
            assert!(header(bad).is_err(), "{bad:?}");
        }
    }
}
