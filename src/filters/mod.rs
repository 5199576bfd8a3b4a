//! What may be decided about connections, requests and answers: the trait [`Filters`], which the rules of a
//! configuration ([`rules::Rules`]) implement like anybody else.

pub mod calls;
pub mod chain;
pub mod exchange_record;
mod limits;
pub mod reply;
pub mod rules;
mod values;

use std::cell::Cell;
use std::future::{Future, ready};

use crate::http::message::edits::Edits;
use calls::{ClientRequest, ClientResponse, EndpointAttempt, EndpointResponse, ExchangeEnd};
use calls::{NewConnection, ReplyTo, RouteChoice};
use reply::LocalReply;

/// What is called at each turn of a request's way, known at compile time: a call that is not overridden costs
/// nothing.
///
/// ```text
/// client                                                  endpoint
///   │ connects ───▶ connection     take it, or reset it
///   │ request ────▶ request        edit, answer
///   │               route          edit, answer, choose upstream and endpoint
///   │               admit (async)  take time, answer
///   │               attempt        edit for this endpoint ───▶ │ ◀─┐ the next one, if
///   │               response_in    edit ◀────────── its answer │ ──┘ this one fails
///   │ ◀──────────── response_out   edit
///   │               end            the exchange is over
///
/// an answer of a filter, and every error ───▶ reply (replace it) ───▶ response_out ───▶ end
/// a request that is answered before `route` is asked: unrouted, then the same
/// ```
///
/// ```
/// use evener::{ClientRequest, Edits, Filters, LocalReply, Verdict};
///
/// /// Nobody but us may ask for `/internal`.
/// struct Internal;
///
/// impl Filters for Internal {
///     type Context = ();
///
///     fn request<'a>(
///         &'a self,
///         request: &ClientRequest<'a>,
///         edits: &mut Edits<'a>,
///         (): &mut (),
///     ) -> Verdict {
///         let is_ours = request.client.is_some_and(|client| client.is_loopback());
///         if request.path.starts_with(b"/internal") && !is_ours {
///             return Verdict::reply(LocalReply::new(403, "for us alone"));
///         }
///         edits.set_header("X-Checked", b"yes").expect("a name and a value");
///         Verdict::Continue
///     }
/// }
/// ```
///
/// A call sees a head as it was parsed, and changes it by [`Edits`], which cannot name a field that frames a
/// message. One value serves all threads; what belongs to one request lives in its [`Filters::Context`].
pub trait Filters: Send + Sync + 'static {
    /// What is kept of each request from its first call to its last. It is dropped when the work on the request
    /// ends, however that happens.
    type Context: Default;

    /// Whether [`Filters::end`] is told all that the access log knows, in [`ExchangeEnd::record`]. It is collected then
    /// whether or not a log is written, at about the cost of one, and requests get an identifier (`X-Request-Id`) as with
    /// a log.
    const RECORDS: bool = false;

    /// A connection has been accepted, and nothing has been read of it but a PROXY header. One that is not taken
    /// is reset.
    #[inline]
    fn connection(&self, connection: &NewConnection<'_>) -> ConnectionVerdict {
        let _ = connection;
        ConnectionVerdict::Take
    }

    /// The head of a request has come. Nothing is known of where it goes.
    #[inline]
    fn request<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        edits: &mut Edits<'a>,
        context: &mut Self::Context,
    ) -> Verdict {
        let _ = (request, edits, context);
        Verdict::Continue
    }

    /// The route of a request has been found, and with it the upstream in `choice`, which may be changed.
    #[inline]
    fn route<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        choice: &mut RouteChoice<'a>,
        edits: &mut Edits<'a>,
        context: &mut Self::Context,
    ) -> Verdict {
        let _ = (request, choice, edits, context);
        Verdict::Continue
    }

    /// The request is answered without [`Self::route`]: no route takes it, it is refused, or something else answers
    /// before. Nothing is decided here; what its answer needs of the head is put into the context. Of a head that
    /// could not be read all is empty, and what is known of the connection is there.
    #[inline]
    fn unrouted<'a>(&'a self, request: &ClientRequest<'a>, context: &mut Self::Context) {
        let _ = (request, context);
    }

    /// The request has been read, and is to go to an endpoint: what takes time is done here, such as asking
    /// another service. What it needs of the request has been put into the context by the calls before. The
    /// client is waited for meanwhile, for as long as the answer's head may take (`--response-timeout`); after
    /// that it gets 504.
    #[inline]
    fn admit(&self, context: &mut Self::Context) -> impl Future<Output = Verdict> {
        let _ = context;
        ready(Verdict::Continue)
    }

    /// The head of the request is about to go to an endpoint: once for each attempt. Edits hold for that attempt,
    /// on top of those before, and have the head written once more.
    #[inline]
    fn attempt<'a>(
        &'a self,
        attempt: &EndpointAttempt<'a>,
        edits: &mut Edits<'a>,
        context: &'a mut Self::Context,
    ) {
        let _ = (attempt, edits, context);
    }

    /// The head of an endpoint's answer has come, an interim one or the final one.
    #[inline]
    fn response_in<'a>(
        &'a self,
        response: &EndpointResponse<'a>,
        edits: &mut Edits<'a>,
        context: &'a Self::Context,
    ) {
        let _ = (response, edits, context);
    }

    /// The head of the final answer is about to go to the client, an endpoint's or one of our own.
    #[inline]
    fn response_out<'a>(
        &'a self,
        response: &ClientResponse<'a>,
        edits: &mut Edits<'a>,
        context: &'a Self::Context,
    ) {
        let _ = (response, edits, context);
    }

    /// An answer of our own is about to be given: an error, or what another filter has decided. It may be
    /// replaced.
    #[inline]
    fn reply(&self, reply: &mut LocalReply, to: &ReplyTo<'_>, context: &mut Self::Context) {
        let _ = (reply, to, context);
    }

    /// The exchange has ended: of any request for which [`Filters::request`] was called. Not called if the process ends
    /// before it does; the context is dropped in any case.
    #[inline]
    fn end(&self, end: &ExchangeEnd<'_>, context: &mut Self::Context) {
        let _ = (end, context);
    }
}

/// The filters that do nothing, and cost nothing.
impl Filters for () {
    type Context = ();
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionVerdict {
    /// It is served.
    Take,
    /// It is reset.
    Refuse,
}

/// What is decided about a request.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// It goes on.
    Continue,
    /// It is answered here.
    Reply(Box<LocalReply>),
}

impl Verdict {
    /// It is answered with this.
    pub fn reply(reply: LocalReply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

/// Filters, and what they keep of one request.
pub struct Filtered<'f, F: Filters> {
    /// The filters.
    pub filters: &'f F,
    /// What they keep.
    pub context: F::Context,
    /// The status that the client has been sent, if it has been sent one.
    pub status: Cell<Option<u16>>,
}

impl<'f, F: Filters> Filtered<'f, F> {
    /// Of a request that begins.
    #[inline]
    pub fn new(filters: &'f F) -> Self {
        Self { filters, context: F::Context::default(), status: Cell::new(None) }
    }

    /// An answer of our own, after all filters have seen it.
    pub fn revised(&mut self, mut reply: LocalReply, to: &ReplyTo<'_>) -> LocalReply {
        self.filters.reply(&mut reply, to, &mut self.context);
        reply
    }
}
