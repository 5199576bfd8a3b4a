//! TLS on a connection to an endpoint.

use std::sync::Arc;

use tokio::time::Instant;

use crate::app_protocol::AppProtocol;
use crate::fault::{Fault, Kind, Stage};
use crate::log::once_per_second::OncePerSecond;
use crate::metrics::HandshakeMetrics;
use crate::net::stream::Stream;
use crate::net::tls::failure::detail_of;
use crate::net::tls::handshake::{self, HandshakeError};
use crate::tls_fault::TlsFault;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_tls::EndpointTls;
use crate::upstream::failures::Failed;

/// What a peer says that speaks none of the protocols that were offered (RFC 7301 §3.2).
const NO_APPLICATION_PROTOCOL: TlsFault = TlsFault::Alert(120);

/// Shakes hands with an endpoint over a connection on which `carried` bytes have been written; the caller
/// holds the deadline. What there is to say about a failure is kept with the endpoint's failures.
pub async fn secure(
    stream: Stream,
    carried: u64,
    (endpoint, tls): (&Endpoint, &EndpointTls),
    metrics: Option<&HandshakeMetrics>,
) -> Result<Stream, Fault> {
    let Stream::Plain(socket) = stream else { return Ok(stream) };
    let (config, name) = (Arc::clone(&tls.config), tls.server_name.clone());
    let error = match handshake::connect(socket, config, name).await {
        // An endpoint without ALPN speaks HTTP/1.1, whatever was offered (RFC 9113 §3.2).
        Ok((_, info)) if info.protocol != endpoint.protocol() => {
            HandshakeError::Failed(TlsFault::NoProtocol, None)
        }
        Ok((stream, info)) => {
            if let Some(metrics) = metrics {
                info.count(metrics);
            }
            stream.has_carried(carried);
            return Ok(Stream::Tls(Box::new(stream)));
        }
        Err(error) => error,
    };
    let fault = fault(error, endpoint);
    if let (Some(metrics), Kind::Tls(fault)) = (metrics, fault.kind) {
        metrics.failed[fault.index()].add(1);
    }
    Err(fault)
}

fn fault(error: HandshakeError, endpoint: &Endpoint) -> Fault {
    let fault = |kind| Fault::upstream(Stage::Connect, kind);
    match error {
        HandshakeError::Broken(error) => {
            let kind = match Kind::of(&error) {
                Kind::Closed | Kind::Reset | Kind::Broken => Kind::Tls(TlsFault::Closed),
                other => other,
            };
            fault(kind).caused_by(&error)
        }
        HandshakeError::Failed(reason, error) => {
            // Its phrase is for clients, which are told what to write.
            let reason = if reason == TlsFault::PlainHttp { TlsFault::NotTls } else { reason };
            let detail = match (endpoint.protocol(), reason) {
                (AppProtocol::Http2, TlsFault::NoProtocol | NO_APPLICATION_PROTOCOL) => {
                    Some("HTTP/2 (h2) was not accepted: write https:// for HTTP/1.1".to_owned())
                }
                _ => error.as_ref().and_then(detail_of),
            };
            if let Some(detail) = detail {
                endpoint.record.failures.explain(reason, &detail);
            }
            fault(Kind::Tls(reason))
        }
    }
}

static WARNINGS: OncePerSecond = OncePerSecond::new();

/// Logs why TLS with an endpoint failed, which may concern every request there is.
pub fn log_failure(upstream: &Upstream, endpoint: &Endpoint, failed: &Failed) {
    if !matches!(failed.fault.kind, Kind::Tls(_)) {
        return;
    }
    let Some(before) = WARNINGS.permits(Instant::now()) else { return };
    let (name, reason) = (&upstream.name, failed.reason());
    log::warn!("{name}: TLS to {endpoint} failed: {reason} ({before} times before)");
}
