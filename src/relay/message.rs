//! Moving one body from a message of one protocol to one of another, or of the same.

use super::body::{self, Body};
use super::body_copy::PieceForm;
use super::copy::{Broken, End, Meter};
use super::ends::{Sink, Source};
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::grpc::status::Status;
use crate::http::h1::chunk_lines::{CHUNK_OVERHEAD_BYTES, write_chunk};
use crate::http::h1::chunked::TRAILER_BYTES_MAX;
use crate::http::h1::framing::Framing;
use crate::http::h2::section::{FieldSection, NeverIndexed};
use crate::http::h2::trailers;
use crate::net::mux_stream::{MuxStream, kind_of_abort};
use crate::net::stream::{ReadHalf, WriteHalf};

/// What is read at a time for a stream that has no credit, in bytes: it may have to be kept for long.
const UNCREDITED_BYTES_MAX: usize = 16 * 1024;

/// Moves what is left of `body`: first what `buffer` holds, then what `from` brings, until its end, which
/// `to` is told of.
///
/// Boxed, each way in as much room as it takes: few bodies have to be waited for, and every request would have room for
/// the largest. Not an async function: that would keep its arguments twice.
pub fn relay<'a>(
    body: &'a mut Body,
    buffer: &'a mut Buffer,
    mut from: Source<'a>,
    mut to: Sink<'a>,
    meter: &'a Meter<'_>,
) -> impl Future<Output = Result<(), Broken>> {
    async move {
        match (&mut from, &mut to) {
            (Source::H1(from), Sink::H1(to)) => {
                Box::pin(body::relay(body, buffer, from, to, meter)).await
            }
            (Source::H2(from), Sink::H1(to)) => Box::pin(from_stream(body, from, to, meter)).await,
            (Source::H1(from), Sink::H2(to)) => {
                Box::pin(to_stream(body, buffer, from, to, meter)).await
            }
            (Source::H2(from), Sink::H2(to)) => {
                Box::pin(between_streams(body, from, to, meter)).await
            }
        }
    }
}

async fn from_stream(
    body: &mut Body,
    from: &MuxStream,
    to: &mut WriteHalf<'_>,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    while let Some(framing) = body.stream_framing() {
        let has_bytes = meter.available(from).await?;
        admit(body, from)?;
        if has_bytes && framing != Framing::Chunked && !meter.is_tapped() {
            let count = meter.forward(from, to).await?;
            body.pass_of_stream(count);
            continue;
        }
        let (mut out, form) = (Buffer::new(), body.form());
        take(body, from, &mut out);
        meter.write(to, out.filled()).await?;
        meter.passed(out.filled(), form);
    }
    Ok(())
}

/// Refuses what has come of a stream's body if that makes it too long: before any of it goes on.
fn admit(body: &Body, from: &MuxStream) -> Result<(), Broken> {
    let broken = |reject| Broken { end: End::Source, kind: Kind::Rejected(reject) };
    body.admit_of_stream(from.body_bytes()).map_err(broken)
}

/// Moves what has come of a stream's body to `out`, framed as in HTTP/1.1, as far as there is room; says
/// how many bytes it was given.
pub fn take(body: &mut Body, from: &MuxStream, out: &mut Buffer) -> usize {
    let before = out.len();
    while let Some(framing) = body.stream_framing() {
        // Has a block leased, so that there is room at once.
        let room = out.spare_mut().len().saturating_sub(CHUNK_OVERHEAD_BYTES);
        let most = room.min(body.stream_room());
        let taken = from.take_body(|bytes| {
            let bytes = &bytes[..bytes.len().min(most)];
            let fits = match framing {
                _ if bytes.is_empty() => false,
                Framing::Chunked => write_chunk(bytes, out),
                _ => out.append(bytes) == bytes.len(),
            };
            if fits { bytes.len() } else { 0 }
        });
        body.pass_of_stream(taken);
        if taken > 0 {
            continue;
        }
        // Whatever it holds, a trailer section goes on whole.
        if from.has_ended() && out.spare_mut().len() >= TRAILER_BYTES_MAX + LAST_CHUNK.len() {
            let trailers = from.take_trailers();
            if let Some(section) = &trailers {
                body.pass_of_stream(section.cost_bytes());
            }
            if framing == Framing::Chunked {
                end_chunks(trailers.as_deref(), out);
            }
            body.end_of_stream();
        }
        break;
    }
    out.len() - before
}

/// Moves what has come of a stream's body to `out`, as far as there is room, for another stream. Trailers are
/// left where they are.
pub fn take_data(body: &mut Body, from: &MuxStream, out: &mut Buffer) {
    out.spare_mut();
    while body.stream_framing().is_some() {
        let taken = from.take_body(|bytes| out.append_read(bytes));
        body.pass_of_stream(taken);
        if from.has_ended() && !from.has_trailers() {
            body.end_of_stream();
        }
        if taken == 0 {
            break;
        }
    }
    out.release();
}

/// The last chunk and the empty line after it.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Ends a body with what its connection has let pass as trailers.
fn end_chunks(trailers: Option<&FieldSection>, out: &mut Buffer) {
    let mut section = b"0\r\n".to_vec();
    match trailers {
        Some(trailers) => trailers::write_h1(trailers, &mut section),
        None => section.extend_from_slice(b"\r\n"),
    }
    out.append(&section);
}

/// Sends a head, and the bytes of the body that have come with it; its end, too, if that is all. `body` is
/// what is left then, of a final answer.
pub fn send_on_stream<'a>(
    stream: &'a MuxStream,
    block: &'a [u8],
    out: &'a Buffer,
    body: Option<&Body>,
    down: &'a Meter<'_>,
) -> impl Future<Output = Result<(), Broken>> + use<'a> {
    let ends = body.is_some_and(Body::has_ended);
    async move {
        down.written(stream).await?;
        let sent = stream.send_head(ends && out.is_empty(), |_, written| {
            written.extend_from_slice(block);
            down.sent_head(block.len());
        });
        sent.map_err(|abort| Broken { end: End::Sink, kind: kind_of_abort(abort) })?;
        if out.is_empty() {
            return Ok(());
        }
        down.send(stream, out.filled(), ends).await
    }
}

async fn to_stream(
    body: &mut Body,
    buffer: &mut Buffer,
    from: &mut ReadHalf<'_>,
    to: &MuxStream,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    let source = |kind| Broken { end: End::Source, kind };
    loop {
        let ready =
            body.admit(buffer, usize::MAX).map_err(|reject| source(Kind::Rejected(reject)))?;
        if ready > 0 {
            pass_to_stream(body, buffer, ready, to, meter).await?;
        } else if body.has_ended() {
            if !to.has_sent() {
                meter.send(to, &[], true).await?;
            }
            return Ok(());
        } else if let (Some(from), Some(most), false) =
            (from.plain(), body.last_unseen(), meter.is_tapped())
        {
            match meter.read_to_stream(from, to, most).await? {
                0 => body.close().map_err(source)?,
                count => {
                    body.pass_unseen(count);
                }
            }
        } else {
            if buffer.is_empty() && !to.is_credited() {
                meter.readable(from).await?;
                buffer.begin_with_room(UNCREDITED_BYTES_MAX);
            }
            if meter.read(from, buffer).await? == 0 {
                body.close().map_err(source)?;
            }
        }
    }
}

/// Sends the bytes at the front of `buffer`, of which `ready` have been admitted, on a stream, and its end if
/// it is theirs.
pub async fn pass_to_stream(
    body: &mut Body,
    buffer: &mut Buffer,
    ready: usize,
    to: &MuxStream,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    let data = body.data_of(ready);
    let has_trailers = data < ready;
    if data > 0 {
        let ends = body.ends_after(ready) && !has_trailers;
        meter.send(to, &buffer.filled()[..data], ends).await?;
        meter.passed(&buffer.filled()[..data], PieceForm::Data);
    }
    if has_trailers {
        let section = &buffer.filled()[data..ready];
        let sending = meter.send_trailers(to, |encoder, block| {
            trailers::encode_h1(section, &NeverIndexed::NONE, encoder, block);
        });
        sending.await?;
    }
    body.pass(buffer, ready);
    Ok(())
}

async fn between_streams(
    body: &mut Body,
    from: &MuxStream,
    to: &MuxStream,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    while body.stream_framing().is_some() {
        if meter.available(from).await? {
            admit(body, from)?;
            if meter.is_tapped() {
                pass_on_seen(body, from, to, meter).await?;
                continue;
            }
            let (count, is_last) = meter.pass_on(from, to, body.stream_room()).await?;
            body.pass_of_stream(count);
            if is_last {
                body.end_of_stream();
            }
            continue;
        }
        match from.take_trailers() {
            Some(section) => {
                // They are kept no more than data is, whether or not the stream still takes them: without
                // them, no other endpoint may get it.
                body.pass_of_stream(section.cost_bytes());
                body.set_call_status(Status::among(section.iter()));
                let sending = meter.send_trailers(to, |encoder, block| {
                    trailers::encode(&section, encoder, block);
                });
                sending.await?;
            }
            None => meter.send(to, &[], true).await?,
        }
        body.end_of_stream();
    }
    Ok(())
}

/// Passes on what has come of a stream's body, for a meter that has to see it.
async fn pass_on_seen(
    body: &mut Body,
    from: &MuxStream,
    to: &MuxStream,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    let mut out = Buffer::new();
    take_data(body, from, &mut out);
    meter.send(to, out.filled(), body.has_ended()).await?;
    meter.passed(out.filled(), PieceForm::Data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::http::h1::chunked::Emit;
    use crate::http::h2::connection::{Connection, Role};
    use crate::http::h2::flow::WINDOW_BYTES;
    use crate::http::h2::frame::{Flags, FrameHead, FrameKind, PREFACE};
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::section::SectionLimits;
    use crate::net::deadline::Activity;
    use crate::net::memory::Memory;
    use crate::net::mux::{Mux, MuxEvent};
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    fn frame(kind: FrameKind, flags: Flags, stream: u32, payload: &[u8]) -> Vec<u8> {
        let head = FrameHead { length: payload.len(), kind, flags, stream };
        [&head.bytes(), payload].concat()
    }

    fn mux(role: Role) -> (Rc<Mux>, Memory) {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 1, window_bytes: WINDOW_BYTES, section };
        let connection = Connection::new(role, limits, 1, Rc::default());
        let (ours, theirs) = Memory::pair(1 << 20);
        (Mux::new(Stream::Plain(Socket::Memory(ours)), connection, Buffer::new()), theirs)
    }

    /// Has these frames come, and what opens a stream.
    fn hear(mux: &Mux, peer: &Memory, frames: &[u8]) -> Option<MuxEvent> {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(peer.poll_write(cx, frames).is_ready());
        match mux.poll(cx) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_client_that_resets_its_request_is_what_broke_while_its_endpoint_takes_nothing() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (served, client) = mux(Role::Server);
        let begun = [
            PREFACE.to_vec(),
            frame(FrameKind::Settings, Flags::NONE, 0, &[]),
            frame(FrameKind::Headers, Flags::END_HEADERS, 1, b"\x83"),
            frame(FrameKind::Data, Flags::NONE, 1, b"0123456789"),
        ];
        let opened = hear(&served, &client, &begun.concat());
        let Some(MuxEvent::Opened(key)) = opened else { panic!("a stream") };
        assert!(served.poll(cx).is_pending());
        let from = MuxStream::accepted(&served, key);
        let (ours, endpoint) = Memory::pair(4);
        let mut to = Stream::Plain(Socket::Memory(ours));
        let (_, mut to) = to.split();
        let (activity, mut body) = (Activity::new(), Body::of_stream(Framing::Length(20)));
        let meter = Meter::new(&activity);
        let mut moving = pin!(from_stream(&mut body, &from, &mut to, &meter));
        assert!(moving.as_mut().poll(cx).is_pending());
        let reset = frame(FrameKind::RstStream, Flags::NONE, 1, &[0, 0, 0, 8]);
        assert!(hear(&served, &client, &reset).is_none());
        assert!(endpoint.poll_read(cx, &mut [0; 4]).is_ready());
        let broken = Broken { end: End::Source, kind: Kind::Reset };
        assert_eq!(moving.poll(cx), Poll::Ready(Err(broken)));
    }

    #[tokio::test]
    async fn trailers_count_as_passed_on_even_if_their_stream_has_ended() {
        let settings = frame(FrameKind::Settings, Flags::NONE, 0, &[]);
        let (served, client) = mux(Role::Server);
        let head = frame(FrameKind::Headers, Flags::END_HEADERS, 1, b"\x83");
        let opened = hear(&served, &client, &[&PREFACE[..], &settings, &head].concat());
        let Some(MuxEvent::Opened(key)) = opened else { panic!("no stream") };
        let from = MuxStream::accepted(&served, key);
        let ends = Flags::END_HEADERS.with(Flags::END_STREAM, true);
        hear(&served, &client, &frame(FrameKind::Headers, ends, 1, b"\x00\x01a\x01b"));
        let (shared, endpoint) = mux(Role::Client);
        hear(&shared, &endpoint, &settings);
        let key = shared.act(|connection| connection.open_stream(false, false, |_, _| {}));
        let to = MuxStream::opened(&shared, key.expect("a stream"));
        hear(&shared, &endpoint, &frame(FrameKind::RstStream, Flags::NONE, 1, &[0, 0, 0, 7]));
        let (activity, mut body) = (Activity::new(), Body::of_stream(Framing::Chunked));
        let relayed = between_streams(&mut body, &from, &to, &Meter::new(&activity)).await;
        let broken = Broken { end: End::Sink, kind: Kind::Reset };
        assert_eq!((relayed, from.has_trailers()), (Err(broken), false));
        assert!(body.passed() > 0);
    }

    #[tokio::test]
    async fn little_is_read_for_a_stream_that_has_no_credit() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (served, client) = mux(Role::Server);
        let settings = frame(FrameKind::Settings, Flags::NONE, 0, &[0, 4, 0, 0, 0, 0]);
        let head = frame(FrameKind::Headers, Flags::END_HEADERS, 1, b"\x82");
        let opened = hear(&served, &client, &[&PREFACE[..], &settings, &head].concat());
        let Some(MuxEvent::Opened(key)) = opened else { panic!("no stream") };
        let to = MuxStream::accepted(&served, key);
        let (ours, endpoint) = Memory::pair(1 << 20);
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000]].concat();
        assert!(endpoint.poll_write(cx, &chunk).is_ready());
        let mut from = Stream::Plain(Socket::Memory(ours));
        let (mut from, _) = from.split();
        let (activity, mut buffer) = (Activity::new(), Buffer::new());
        let (meter, mut body) = (Meter::new(&activity), Body::new(Framing::Chunked, Emit::Frames));
        {
            let moving = pin!(to_stream(&mut body, &mut buffer, &mut from, &to, &meter));
            assert!(moving.poll(cx).is_pending());
        }
        assert!((1..=UNCREDITED_BYTES_MAX).contains(&buffer.len()), "{}", buffer.len());
    }
}
