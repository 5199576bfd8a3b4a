//! A request as it comes, as bytes or on a stream, is made what is sent to an endpoint.

use super::client_info::ClientInfo;
use super::request::Request;
use super::request_head::{Sender, admit};
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::filters::{Filtered, Filters};
use crate::http::h1::{framing, parse};
use crate::http::h2;
use crate::http::h2::stream::Arrived;
use crate::http::message::head::{RequestHead, Storage};
use crate::net::mux_stream::MuxStream;
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::relay::message;

/// Reads the head of a request, the first `length` bytes of the input, and makes of it and of the part of the body
/// that has arrived what is sent to an endpoint.
pub(super) fn prepare<F: Filters>(
    request: &mut Request<'_, F>,
    (input, length): (&mut Buffer, usize),
    sender: Sender<'_>,
    context: &WorkerContext,
) -> Result<(), Fault> {
    let read = {
        let mut storage = Storage::new();
        let head = parse::request(&input.filled()[..length], &context.plan.limits, &mut storage);
        admit(request, &head, framing::request, sender, context)
    };
    read.map_err(refused)?;
    begin_body(request, (input, length), context)
}

/// The same of a head that has come whole and in one piece, if it is plain; otherwise nothing has happened.
#[inline]
pub(super) fn prepare_whole<F: Filters>(
    request: &mut Request<'_, F>,
    input: &mut Buffer,
    sender: Sender<'_>,
    context: &WorkerContext,
) -> Option<Result<(), Fault>> {
    let (read, length) = {
        let (bytes, mut storage) = (input.filled(), Storage::new());
        let (head, length) = parse::whole_request(bytes, &context.plan.limits, &mut storage)?;
        // No time has passed since it began.
        request.timing.end_head(true);
        request.note_method(input);
        (admit(request, &head, framing::request, sender, context), length)
    };
    let read = read.map_err(refused);
    Some(read.and_then(|()| begin_body(request, (input, length), context)))
}

fn refused(reject: Reject) -> Fault {
    Fault::client(Stage::RequestHead, Kind::Rejected(reject))
}

/// A head of `length` bytes has been read at the front of the input; what has come of the body follows it.
#[inline]
fn begin_body<F: Filters>(
    request: &mut Request<'_, F>,
    (input, length): (&mut Buffer, usize),
    context: &WorkerContext,
) -> Result<(), Fault> {
    input.consume(length);
    let nothing_follows = request.body.has_ended();
    let begun = if nothing_follows { Ok(0) } else { request.begin_body(input) };
    if let Some(request_log) = request.timing.request_log() {
        request_log.took((length + begun.unwrap_or(0)) as u64);
    }
    match begun {
        Ok(_) => {}
        Err(Reject::BodyTooLong) => request.refuse_long(context),
        Err(reject) => {
            let logged = request.timing.request_log().zip(request.route);
            logged.inspect(|(request_log, route)| request_log.routed(*route));
            // What was kept for another answer is not for this one.
            request.filtered = Filtered::new(request.filtered.filters);
            return Err(Fault::client(Stage::Request, Kind::Rejected(reject)));
        }
    }
    Ok(())
}

/// The same of a request that came on a stream, whose head is `arrived`.
pub(super) fn prepare_stream<F: Filters>(
    request: &mut Request<'_, F>,
    (stream, mut arrived): (&MuxStream, Arrived),
    client_info: &ClientInfo,
    context: &WorkerContext,
) -> Result<(), Fault> {
    let cost = arrived.section.cost_bytes() as u64;
    let sender = Sender { client_info, stream: Some(stream.mux().stream()) };
    let read = {
        let (section, ends) = (&mut arrived.section, arrived.ends);
        let (fields_max, mut storage) = (context.plan.limits.fields_max, Storage::new());
        let fits = arrived.fit.check();
        let head = fits.and_then(|()| h2::request::read(section, fields_max, &mut storage));
        let framing = |head: &RequestHead<'_, '_>| h2::request::framing(head, ends);
        admit(request, &head, framing, sender, context)
    };
    if let Err(reject) = read {
        if let Some(request_log) = &mut request.timing.request_log {
            request_log.read_refused(&arrived.section);
        }
        return Err(refused(reject));
    }
    request.never_indexed = arrived.section.never_indexed().clone();
    request.never_indexed.extend(&stream.never_indexed_trailers());
    let taken = message::take(&mut request.body, stream, &mut request.outgoing);
    if request.body.admit_of_stream(stream.body_bytes()).is_err() {
        request.refuse_long(context);
    }
    if let Some(request_log) = request.timing.request_log() {
        request_log.took(cost + taken as u64);
    }
    Ok(())
}
