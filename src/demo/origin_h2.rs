//! An origin's connections of HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use tokio::task::spawn_local;

use super::answer_spec::{AnswerSpec, IDLE_TIMEOUT, LIMITS, PeerGone, expects_continue};
use crate::buffer::Buffer;
use crate::decimal::decimal;
use crate::fault::Kind;
use crate::http::h2::connection::{Connection, Role};
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::flow::WINDOW_BYTES;
use crate::http::h2::limits::ConnectionLimits;
use crate::http::h2::request;
use crate::http::h2::section::{FieldSection, SectionLimits};
use crate::http::message::head::Storage;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::mux::{Mux, MuxEnd, MuxEvent};
use crate::net::mux_stream::MuxStream;
use crate::net::stream::Stream;
use crate::reject::Reject;
use crate::relay::copy::Meter;

/// How many requests may be under way on a connection: as many as any load generator has.
const STREAMS_MAX: u32 = 1024;

/// Serves a connection on which `early` has come, until it ends or is idle too long.
pub(super) async fn serve(stream: Stream, early: Buffer, name: &Rc<str>) {
    let section = SectionLimits::of_heads(&LIMITS);
    let limits = ConnectionLimits { streams_max: STREAMS_MAX, window_bytes: WINDOW_BYTES, section };
    let mux = Mux::new(stream, Connection::new(Role::Server, limits, 0, Rc::default()), early);
    let mut timer = Timer::new();
    let end = loop {
        let working = pin!(poll_fn(|cx| mux.poll(cx)));
        match timer.within(IDLE_TIMEOUT, working).await {
            Ok(MuxEvent::Opened(key)) => {
                let stream = MuxStream::accepted(&mux, key);
                spawn_local(serve_stream(stream, Rc::clone(name)));
            }
            Ok(MuxEvent::Over(end)) => break end,
            // Streams look after their own time.
            Err(Elapsed) if mux.connection().streams() == 0 => {
                break MuxEnd::Broken(Kind::TimedOut);
            }
            Ok(MuxEvent::Ponged(_) | MuxEvent::GoAway(_)) | Err(Elapsed) => {}
        }
    };
    mux.end(end);
}

async fn serve_stream(stream: MuxStream, name: Rc<str>) {
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let answering = answer(&stream, &name, &meter);
    // Why a client disconnects does not matter to a test origin.
    let _ = Timer::new().while_active(IDLE_TIMEOUT, &activity, pin!(answering)).await;
}

async fn answer(stream: &MuxStream, name: &str, meter: &Meter<'_>) -> Result<(), PeerGone> {
    let mut arrived = meter.head(stream).await?;
    let Ok((spec, expects_continue)) = read(&mut arrived.section, name) else {
        stream.reset(ErrorCode::ProtocolError);
        return Ok(());
    };
    if expects_continue {
        let sent = stream.send_head(false, |encoder, block| encoder.status(100, block));
        sent.map_err(|_| PeerGone)?;
    }
    while meter.available(stream).await? {
        stream.take_body(<[u8]>::len);
    }
    spec.wait(meter).await;
    let (filler, mut left) = spec.body();
    let sent = stream.send_head(left == 0, |encoder, block| {
        encoder.status(spec.status, block);
        if spec.status != 204 {
            encoder.field(b"content-length", &decimal(spec.length() as u64), block);
        }
    });
    sent.map_err(|_| PeerGone)?;
    while left > 0 {
        let piece = &filler[..left.min(filler.len())];
        left -= piece.len();
        meter.send(stream, piece, left == 0).await?;
    }
    Ok(())
}

/// What a request asks for, and whether its client waits for a 100.
fn read(section: &mut FieldSection, name: &str) -> Result<(AnswerSpec, bool), Reject> {
    let echoed = echoed(section);
    let mut storage = Storage::new();
    let head = request::read(section, LIMITS.fields_max, &mut storage)?;
    Ok((AnswerSpec::of(&head, name, || echoed), expects_continue(&head)))
}

/// The fields of a request as they came, a line each.
fn echoed(section: &FieldSection) -> Vec<u8> {
    section.iter().flat_map(|(name, value)| [name, b": ", value, b"\n"].concat()).collect()
}
