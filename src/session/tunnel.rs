//! Bytes that go both ways unseen: after a 101, or over a connection that is no HTTP to us.

use std::pin::pin;
use std::time::Duration;

use super::client::ClientSide;
use super::request_log::{RequestLog, TrafficGuard};
use super::upstream_side::UpstreamSide;
use crate::buffer::Buffer;
use crate::fault::{Kind, Side};
use crate::http::h2::error_code::ErrorCode;
use crate::metrics::Metrics;
use crate::net::deadline::{Activity, Timer};
use crate::net::stream::Stream;
use crate::relay::copy::{End, Meter};
use crate::relay::duplex::duplex;
use crate::relay::ends::{Sink, Source};
use crate::termination::{ExchangePhase, Termination};

/// The two sides of a tunnel.
pub struct Ends<'a> {
    /// The client's.
    pub client: (Source<'a>, Sink<'a>),
    /// The endpoint's.
    pub upstream: (Source<'a>, Sink<'a>),
}

impl<'a> Ends<'a> {
    /// Between two connections.
    pub fn connections(client: &'a mut Stream, upstream: &'a mut Stream) -> Self {
        // The client's has it from its listener.
        upstream.keep_alive();
        Self { client: halves(client), upstream: halves(upstream) }
    }

    /// Between a client and an endpoint; what has come from the client already, too. A stream that is cut is
    /// reset with `CANCEL` on both sides (RFC 8441 §5).
    pub fn of(client: &'a mut ClientSide<'_>, upstream: &'a mut UpstreamSide) -> (Self, Buffer) {
        upstream.connection().keep_alive();
        let early = match client {
            ClientSide::H1 { input, .. } => std::mem::take(&mut **input),
            ClientSide::H2(stream) => {
                stream.set_unfinished(ErrorCode::Cancel);
                Buffer::new()
            }
        };
        (Self { client: client.split(), upstream: upstream.split() }, early)
    }

    /// How the end of either connection looks, however it comes about.
    fn set_reset_on_close(&self, reset: bool) {
        self.client.1.set_reset_on_close(reset);
        self.upstream.1.set_reset_on_close(reset);
    }
}

fn halves(stream: &mut Stream) -> (Source<'_>, Sink<'_>) {
    let (read, write) = stream.split();
    (Source::H1(read), Sink::H1(write))
}

/// The tunnel broke, or was idle too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelBroken;

/// Relays until both sides have ended. `early` is what has come from the client and from the
/// endpoint already; `limit` is how long both may be silent. Until then the end of either connection,
/// even because the process ends, is a reset.
///
/// Not an async function: that would keep its arguments twice.
pub fn run<'a>(
    ends: Ends<'a>,
    early: (Buffer, Buffer),
    (metrics, request_log): (&'a Metrics, Option<&'a RequestLog>),
    limit: Duration,
    timer: &'a mut Timer,
) -> impl Future<Output = Result<(), TunnelBroken>> {
    async move {
        let activity = Activity::new();
        let (up, down) = (Meter::new(&activity), Meter::new(&activity));
        ends.set_reset_on_close(true);
        let traffic =
            TrafficGuard::begin((metrics, request_log), ExchangePhase::Tunnel, 0, (&up, &down));
        let ended = {
            let both = pin!(duplex((ends.client, early.0), (ends.upstream, early.1), (&up, &down)));
            timer.while_active(limit, &activity, both).await
        };
        drop(traffic);
        let (side, kind) = match ended {
            Ok(Ok(())) => {
                ends.set_reset_on_close(false);
                if let Some(request_log) = request_log {
                    request_log.end(Termination::COMPLETE, None);
                }
                return Ok(());
            }
            Ok(Err(broken)) => broken,
            // An endpoint that takes nothing is silent; if both are, it is the client's turn.
            Err(_) if up.waits_for() == End::Sink => (Side::Upstream, Kind::TimedOut),
            Err(_) => (Side::Client, Kind::TimedOut),
        };
        if let Some(request_log) = request_log {
            request_log.end_tunnel_by(side, kind);
        }
        Err(TunnelBroken)
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::socket::Socket;

    async fn pair() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, Stream::Plain(Socket::Tcp(stream)))
    }

    #[tokio::test]
    async fn the_endpoint_is_probed_while_it_is_silent() {
        let ((client, mut ours), (endpoint, mut theirs)) = (pair().await, pair().await);
        drop((client, endpoint));
        let ends = Ends::connections(&mut ours, &mut theirs);
        let (both, limit) = ((Buffer::new(), Buffer::new()), Duration::from_secs(60));
        run(ends, both, (&Metrics::new(), None), limit, &mut Timer::new()).await.unwrap();
        let Stream::Plain(Socket::Tcp(stream)) = theirs else { panic!("not TCP") };
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}
