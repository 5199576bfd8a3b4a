//! Both directions of a tunnel, each ending on its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::copy::{Broken, End, Flow, Meter};
use super::ends::{Sink, Source};
use crate::buffer::Buffer;
use crate::fault::{Kind, Side};
use crate::net::splice::Filled;

/// Moves bytes both ways until both sides have ended, passing each end on (half-close). `early`
/// is what has already been read from either side. The first error ends both ways, and says which
/// side broke; so does a reset of a client that is not being read from.
///
/// Not an async function, nor are its ways: those keep their arguments twice.
pub fn duplex<'a>(
    ((client_read, client_write), client_early): ((Source<'a>, Sink<'a>), Buffer),
    ((upstream_read, upstream_write), upstream_early): ((Source<'a>, Sink<'a>), Buffer),
    (up, down): (&'a Meter<'_>, &'a Meter<'_>),
) -> impl Future<Output = Result<(), (Side, Kind)>> {
    async move {
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
}

fn broken_side(Broken { end, kind }: Broken, [source, sink]: [Side; 2]) -> (Side, Kind) {
    (if end == End::Source { source } else { sink }, kind)
}

fn one_way<'a>(
    early: Buffer,
    from: Source<'a>,
    to: Sink<'a>,
    meter: &'a Meter<'_>,
) -> impl Future<Output = Result<(), Broken>> {
    async move {
        write(to, early.filled(), meter).await?;
        drop(early);
        let mut flow = Flow::Trickle;
        loop {
            let mut filled = match (flow, from, to) {
                (Flow::Bulk, Source::H1(from), Sink::H1(to)) => {
                    meter.fill(&from, &to, usize::MAX).await?
                }
                _ => Filled::Unavailable,
            };
            let count = match filled {
                Filled::Pipe(ref mut pipe) => {
                    let count = pipe.held();
                    if let Sink::H1(to) = to {
                        meter.drain(pipe, &to).await?;
                    }
                    count
                }
                Filled::Unavailable => copy(from, to, meter).await?,
            };
            if count == 0 {
                return end(to, meter).await;
            }
            flow = flow.after(count);
        }
    }
}

async fn copy(from: Source<'_>, to: Sink<'_>, meter: &Meter<'_>) -> Result<usize, Broken> {
    let mut buffer = Buffer::new();
    match from {
        Source::H1(mut from) => {
            meter.read(&mut from, &mut buffer).await?;
        }
        Source::H2(from) => {
            if meter.available(from).await? {
                from.take_body(|bytes| buffer.append_read(bytes));
            }
        }
    }
    write(to, buffer.filled(), meter).await?;
    Ok(buffer.len())
}

async fn write(to: Sink<'_>, bytes: &[u8], meter: &Meter<'_>) -> Result<(), Broken> {
    match to {
        Sink::H1(mut to) => meter.write(&mut to, bytes).await,
        Sink::H2(_) if bytes.is_empty() => Ok(()),
        Sink::H2(to) => meter.send(to, bytes, false).await,
    }
}

async fn end(to: Sink<'_>, meter: &Meter<'_>) -> Result<(), Broken> {
    match to {
        Sink::H1(mut to) => {
            // The other side may be gone entirely, which its own direction will tell.
            let _ = to.shutdown().await;
            Ok(())
        }
        Sink::H2(to) => meter.send(to, &[], true).await,
    }
}
