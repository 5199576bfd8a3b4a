//! Bytes that go both ways unseen: after a 101, or over a connection that is no HTTP to us.

use std::pin::pin;
use std::time::Duration;

use super::request_log::{RequestLog, TrafficGuard};
use crate::buffer::Buffer;
use crate::fault::{Kind, Side};
use crate::metrics::Metrics;
use crate::net::deadline::{Activity, Timer};
use crate::net::stream::Stream;
use crate::relay::copy::{End, Meter};
use crate::relay::duplex::duplex;
use crate::termination::{ExchangePhase, Termination};

/// The two connections of a tunnel.
pub struct Ends<'a> {
    /// The client's.
    pub client: &'a mut Stream,
    /// The endpoint's.
    pub upstream: &'a mut Stream,
}

/// The tunnel broke, or was idle too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelBroken;

/// Relays until both sides have ended. `early` is what has come from the client and from the
/// endpoint already; `limit` is how long both may be silent. Until then the end of either connection,
/// even because the process ends, is a reset.
pub async fn run(
    Ends { client, upstream }: Ends<'_>,
    early: (Buffer, Buffer),
    (metrics, request_log): (&Metrics, Option<&RequestLog>),
    limit: Duration,
    timer: &mut Timer,
) -> Result<(), TunnelBroken> {
    let activity = Activity::new();
    let (up, down) = (Meter::new(&activity), Meter::new(&activity));
    client.set_reset_on_close(true);
    upstream.set_reset_on_close(true);
    // The client's has it from its listener.
    upstream.keep_alive();
    let both = duplex((&mut *client, early.0), (&mut *upstream, early.1), (&up, &down));
    let traffic =
        TrafficGuard::begin((metrics, request_log), ExchangePhase::Tunnel, 0, (&up, &down));
    let ended = timer.while_active(limit, &activity, pin!(both)).await;
    drop(traffic);
    let (side, kind) = match ended {
        Ok(Ok(())) => {
            client.set_reset_on_close(false);
            upstream.set_reset_on_close(false);
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
        let ends = Ends { client: &mut ours, upstream: &mut theirs };
        let (both, limit) = ((Buffer::new(), Buffer::new()), Duration::from_secs(60));
        run(ends, both, (&Metrics::new(), None), limit, &mut Timer::new()).await.unwrap();
        let Stream::Plain(Socket::Tcp(stream)) = theirs else { panic!("not TCP") };
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}
