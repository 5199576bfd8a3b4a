//! Where a connection goes by the name in its ClientHello, which is read and left as it is.

use std::pin::pin;

use super::accepted::{Accepted, read_opening};
use super::record;
use super::request_log::RequestLog;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::id::{SniTableId, UpstreamId};
use crate::net::deadline::Timer;
use crate::plan::context::WorkerContext;
use crate::termination::{Ender, ExchangePhase, Termination};
use crate::tls_hello::{HelloReader, Opening};

/// Why a connection goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is for the host that its client asks for, or for none.
    Unmatched,
    /// It is not TLS, and nothing is for that.
    NotTls,
    /// Its ClientHello breaks a rule, or did not come.
    Fault(Fault),
}

/// Reads the ClientHello at the start of a connection into `early`, and finds the upstream for the host that it
/// names. No buffer is held until the first byte comes.
pub async fn upstream<F>(
    accepted: &mut Accepted<F>,
    early: &mut Buffer,
    timer: &mut Timer,
    (context, table): (&WorkerContext, SniTableId),
    request_log: Option<&mut RequestLog>,
) -> Result<UpstreamId, Refusal> {
    let fault = |kind| Refusal::Fault(Fault::client(Stage::RequestHead, kind));
    let limit = context.plan.timeouts.handshake;
    let table = context.plan.sni_table(table);
    let mut reader = HelloReader::default();
    let connection = (&mut accepted.stream, &accepted.guard);
    let reading = pin!(read_opening(connection, early, |bytes| reader.read(bytes)));
    let read = timer.within(limit, reading).await;
    match read.unwrap_or(Err(Kind::TimedOut)).map_err(fault)? {
        Opening::Hello(hello) => {
            let server_name = hello.server_name.as_ref();
            if let Some(request_log) = request_log {
                request_log.relays_tls(server_name);
            }
            table.find(server_name).ok_or(Refusal::Unmatched)
        }
        Opening::NotTls => table.fallback.ok_or(Refusal::NotTls),
    }
}

/// Counts and logs a connection that goes nowhere. One that has said nothing, such as a check by a proxy
/// in front, is not worth a line.
pub fn refuse(
    context: &WorkerContext,
    refusal: Refusal,
    request_log: Option<Box<RequestLog>>,
    early: &Buffer,
) {
    let metrics = &context.metrics;
    match refusal {
        Refusal::Unmatched => metrics.sni_unmatched.add(1),
        Refusal::NotTls => metrics.sni_not_tls.add(1),
        Refusal::Fault(Fault { kind: Kind::TimedOut, .. }) => metrics.hello_timeouts.add(1),
        Refusal::Fault(fault) => record::refusal(context, fault),
    }
    let Some(request_log) = request_log else { return };
    if early.is_empty() {
        return request_log.discard();
    }
    request_log.took(early.len() as u64);
    match refusal {
        Refusal::Unmatched | Refusal::NotTls => {
            request_log.end(Termination::new(Ender::Rule, ExchangePhase::RequestHead), None);
        }
        Refusal::Fault(fault) => request_log.end_by_fault(fault),
    }
}
