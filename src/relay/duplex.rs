//! Both directions of a tunnel, each ending on its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::copy::{Broken, End, Flow, Meter};
use crate::buffer::Buffer;
use crate::fault::{Kind, Side};
use crate::net::splice::Filled;
use crate::net::stream::{ReadHalf, Stream, WriteHalf};

/// Moves bytes both ways until both sides have ended, passing each end on (half-close). `early`
/// is what has already been read from either side. The first error ends both ways, and says which
/// side broke; so does a reset of a client that is not being read from.
pub async fn duplex(
    (client, client_early): (&mut Stream, Buffer),
    (upstream, upstream_early): (&mut Stream, Buffer),
    (up, down): (&Meter<'_>, &Meter<'_>),
) -> Result<(), (Side, Kind)> {
    let (client_read, client_write) = client.split();
    let (upstream_read, upstream_write) = upstream.split();
    let mut upward = pin!(one_way(client_early, client_read, upstream_write, up));
    let mut downward = pin!(one_way(upstream_early, upstream_read, client_write, down));
    let mut gone = pin!(client_read.gone());
    let (mut up_ended, mut down_ended) = (false, false);
    poll_fn(|cx| {
        if !up_ended && let Poll::Ready(ended) = upward.as_mut().poll(cx) {
            ended.map_err(|broken| broken_side(broken, [Side::Client, Side::Upstream]))?;
            up_ended = true;
        }
        if !down_ended && let Poll::Ready(ended) = downward.as_mut().poll(cx) {
            ended.map_err(|broken| broken_side(broken, [Side::Upstream, Side::Client]))?;
            down_ended = true;
        }
        if up_ended && down_ended {
            return Poll::Ready(Ok(()));
        }
        // A client that resets must be noticed even while it is not read from.
        let is_unread = up_ended || up.waits_for() == End::Sink;
        if is_unread && gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err((Side::Client, Kind::Reset)));
        }
        Poll::Pending
    })
    .await
}

fn broken_side(Broken { end, kind }: Broken, [source, sink]: [Side; 2]) -> (Side, Kind) {
    (if end == End::Source { source } else { sink }, kind)
}

async fn one_way(
    early: Buffer,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    meter.write(&mut to, early.filled()).await?;
    drop(early);
    let mut flow = Flow::Trickle;
    loop {
        let filled = match flow {
            Flow::Bulk => meter.fill(&from, &to, usize::MAX).await?,
            Flow::Trickle => Filled::Unavailable,
        };
        let count = match filled {
            Filled::Pipe(pipe) => {
                let count = pipe.held();
                meter.drain(pipe, &to).await?;
                count
            }
            Filled::Unavailable => copy(&mut from, &mut to, meter).await?,
        };
        if count == 0 {
            // The other side may be gone entirely, which its own direction will tell.
            let _ = to.shutdown().await;
            return Ok(());
        }
        flow = flow.after(count);
    }
}

async fn copy(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    meter: &Meter<'_>,
) -> Result<usize, Broken> {
    let mut buffer = Buffer::new();
    let count = meter.read(from, &mut buffer).await?;
    meter.write(to, buffer.filled()).await?;
    Ok(count)
}
