//! The TLS handshake with a client, before anything else is read from it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

use super::accepted::Accepted;
use super::client::linger;
use super::client_info::ClientInfo;
use super::request_log::RequestTiming;
use crate::buffer::Buffer;
use crate::drain::{DrainPhase, IDLE_GRACE, SessionGuard};
use crate::fault::{Fault, Kind, Stage};
use crate::http::h1::encode::ConnectionHeader;
use crate::http::h1::reply::Reply;
use crate::http::message::edits::Edits;
use crate::http::message::head::Method;
use crate::log::once_per_second::OncePerSecond;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::socket::Socket;
use crate::net::stream::{ReadHalf, Stream, WriteHalf};
use crate::net::tls::handshake::{self, HandshakeError, RefusedHandshake};
use crate::net::tls::info::TlsInfo;
use crate::net::tls::stream::TlsStream;
use crate::net::wall_clock::since_1970;
use crate::plan::context::WorkerContext;
use crate::relay::copy::Meter;
use crate::tls_fault::TlsFault;

static WARNINGS: OncePerSecond = OncePerSecond::new();

/// Shakes hands with the client of a connection that has been accepted, and then knows more of it.
/// `early` is what has come already. `None` if it came to nothing: that has been counted and logged.
pub async fn accept<F>(
    accepted: Accepted<F>,
    client_info: ClientInfo,
    early: Buffer,
) -> Option<(Accepted<F>, ClientInfo)> {
    let context = accepted.listener.handle.get();
    let Accepted { stream, peer, permit, guard, listener } = accepted;
    // A plan with a listener for TLS has something to show there.
    let (Stream::Plain(socket), Some(tls)) = (stream, &context.plan.tls) else { return None };
    let mut timer = Timer::new();
    let end = Instant::now() + context.plan.timeouts.handshake;
    if early.is_empty() && !is_heard(&socket, &guard, &mut timer, end).await {
        // Silent to the end: it has been counted if it was to have said something.
        if Instant::now() >= end {
            refused(&context, &client_info, TlsFault::TimedOut, None);
        }
        return None;
    }
    let shaken = {
        let config = Arc::clone(&tls.config);
        let turns = &context.handshake_turns;
        let shaking = pin!(handshake::accept(socket, &early, config, turns));
        timer.until(|| end, shaking).await
    };
    match shaken {
        Ok(Ok((stream, info))) => match check(&info) {
            Ok(()) => {
                info.count(&context.metrics.client_handshakes);
                let stream = Stream::Tls(Box::new(stream));
                let accepted = Accepted { stream, peer, permit, guard, listener };
                return Some((accepted, client_info.over_tls(info)));
            }
            Err(fault) => {
                stream.set_reset_on_close(true);
                refused(&context, &client_info, fault, None);
            }
        },
        // Such as a check by a balancer in front, which only connects.
        Ok(Err(RefusedHandshake { error, stream: Some(stream) }))
            if has_only_left(&error, &stream) => {}
        Ok(Err(RefusedHandshake { error, stream })) => {
            let fault = fault(&error);
            refused(&context, &client_info, fault, Some(&error));
            if let Some(stream) = stream {
                answer(&context, &client_info, fault, &stream, &mut timer).await;
            }
        }
        Err(Elapsed) => refused(&context, &client_info, TlsFault::TimedOut, None),
    }
    None
}

/// Whether a client has said nothing before it left. Of what TLS refuses, too, nothing is kept.
fn has_only_left(error: &HandshakeError, stream: &TlsStream) -> bool {
    let session = stream.session();
    fault(error) == TlsFault::Closed
        && session.partial().is_empty()
        && session.agreed().is_some_and(|agreed| agreed.protocol_version().is_none())
}

/// Waits for the first byte until `end`, holding nothing for it, and says whether one came. Neither a drain
/// nor an upgrade waits long for a client that has said nothing.
async fn is_heard(
    socket: &Socket,
    guard: &SessionGuard,
    timer: &mut Timer,
    mut end: Instant,
) -> bool {
    let waiting = poll_fn(|cx| match socket.poll_readable(cx) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if guard.phase() == DrainPhase::Closing => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    });
    let deadline = || {
        if guard.phase() == DrainPhase::Leaving {
            end = end.min(Instant::now() + IDLE_GRACE);
        }
        end
    };
    timer.until(deadline, pin!(waiting)).await.unwrap_or(false)
}

/// What a session that takes up an earlier one does not ask again: whether the certificate of the client
/// is still valid.
fn check(info: &TlsInfo) -> Result<(), TlsFault> {
    let now = i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX);
    match &info.client {
        Some(client) if client.not_after < now => Err(TlsFault::Expired),
        _ => Ok(()),
    }
}

fn fault(error: &HandshakeError) -> TlsFault {
    match error {
        HandshakeError::Broken(_) => TlsFault::Closed,
        HandshakeError::Failed(fault, _) => *fault,
    }
}

fn refused(
    context: &WorkerContext,
    client_info: &ClientInfo,
    fault: TlsFault,
    error: Option<&HandshakeError>,
) {
    context.metrics.client_handshakes.failed[fault.index()].add(1);
    let Some(before) = WARNINGS.permits(Instant::now()) else { return };
    let client = client_info.client.map_or_else(|| "unix:".to_owned(), |ip| ip.to_string());
    let phrase = match fault {
        TlsFault::NotTls => "what was sent is not TLS",
        fault => fault.phrase(),
    };
    match error {
        Some(HandshakeError::Failed(_, Some(error))) => {
            log::info!("{client}: TLS handshake failed: {phrase}: {error} ({before} times before)");
        }
        _ => log::info!("{client}: TLS handshake failed: {phrase} ({before} times before)"),
    }
}

/// Answers a client that speaks HTTP in plain text: it would show its user nothing but noise otherwise.
async fn answer(
    context: &WorkerContext,
    client_info: &ClientInfo,
    fault: TlsFault,
    stream: &TlsStream,
    timer: &mut Timer,
) {
    let socket = stream.socket();
    let (read, mut write) = (ReadHalf::Plain(socket), WriteHalf::Plain(socket));
    if fault == TlsFault::PlainHttp {
        let now = RequestTiming::begin(context, client_info);
        let mut request_log = now.request_log;
        if let Some(request_log) = &mut request_log {
            request_log.read_odd(stream.session().partial());
            request_log.end_by_fault(Fault::client(Stage::RequestHead, Kind::Tls(fault)));
        }
        super::record::response(context, None, request_log.as_deref(), 400);
        let mut out = Buffer::new();
        let date = context.date().get();
        let reply = Reply::new(400, fault.phrase());
        let _all =
            reply.write(&Edits::new(), Method::Other, ConnectionHeader::Close, date, &mut out);
        let activity = Activity::new();
        let meter = Meter::new(&activity);
        let writing = pin!(meter.write(&mut write, out.filled()));
        let sent = timer.while_active(context.plan.timeouts.idle, &activity, writing).await;
        if let Some(request_log) = &request_log {
            request_log.gave(meter.bytes());
        }
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    // The alert, too, must not be overtaken by a reset.
    linger((read, write), timer).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app_protocol::AppProtocol;
    use crate::net::tls::client_certificate::ClientCertificate;
    use crate::net::tls::info::{Resumption, TlsVersion};

    #[test]
    fn a_client_whose_certificate_has_expired_takes_up_no_session() {
        let info = |client| TlsInfo {
            version: TlsVersion::Tls13,
            protocol: AppProtocol::Http1,
            cipher: "",
            resumption: Resumption::Resumed,
            server_name: None,
            client,
        };
        let until = |not_after| {
            Some(ClientCertificate { subject: "CN=a".into(), sha256: "".into(), not_after })
        };
        assert_eq!(check(&info(until(951_786_061))), Err(TlsFault::Expired));
        assert_eq!(check(&info(until(i64::MAX))), Ok(()));
        assert_eq!(check(&info(None)), Ok(()));
    }
}
