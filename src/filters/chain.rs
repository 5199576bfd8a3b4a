//! Two sets of filters, one after the other.

use super::calls::{ClientRequest, ClientResponse, EndpointAttempt, EndpointResponse, ExchangeEnd};
use super::calls::{NewConnection, ReplyTo, RouteChoice};
use super::reply::LocalReply;
use super::{ConnectionVerdict, Filters, Verdict};
use crate::http::message::edits::Edits;

/// The first filters, then the second; on the way back, too. The first to answer a request ends its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<A, B>(pub A, pub B);

impl<A: Filters, B: Filters> Filters for Chain<A, B> {
    type Context = (A::Context, B::Context);

    const RECORDS: bool = A::RECORDS || B::RECORDS;

    #[inline]
    fn connection(&self, connection: &NewConnection<'_>) -> ConnectionVerdict {
        match self.0.connection(connection) {
            ConnectionVerdict::Take => self.1.connection(connection),
            ConnectionVerdict::Refuse => ConnectionVerdict::Refuse,
        }
    }

    #[inline]
    fn request<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        edits: &mut Edits<'a>,
        (first, second): &mut Self::Context,
    ) -> Verdict {
        match self.0.request(request, edits, first) {
            Verdict::Continue => self.1.request(request, edits, second),
            reply @ Verdict::Reply(_) => reply,
        }
    }

    #[inline]
    fn route<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        choice: &mut RouteChoice<'a>,
        edits: &mut Edits<'a>,
        (first, second): &mut Self::Context,
    ) -> Verdict {
        match self.0.route(request, choice, edits, first) {
            Verdict::Continue => self.1.route(request, choice, edits, second),
            reply @ Verdict::Reply(_) => reply,
        }
    }

    #[inline]
    fn unrouted<'a>(&'a self, request: &ClientRequest<'a>, (first, second): &mut Self::Context) {
        self.0.unrouted(request, first);
        self.1.unrouted(request, second);
    }

    #[inline]
    async fn admit(&self, (first, second): &mut Self::Context) -> Verdict {
        match self.0.admit(first).await {
            Verdict::Continue => self.1.admit(second).await,
            reply @ Verdict::Reply(_) => reply,
        }
    }

    #[inline]
    fn attempt<'a>(
        &'a self,
        attempt: &EndpointAttempt<'a>,
        edits: &mut Edits<'a>,
        (first, second): &'a mut Self::Context,
    ) {
        self.0.attempt(attempt, edits, first);
        self.1.attempt(attempt, edits, second);
    }

    #[inline]
    fn response_in<'a>(
        &'a self,
        response: &EndpointResponse<'a>,
        edits: &mut Edits<'a>,
        (first, second): &'a Self::Context,
    ) {
        self.0.response_in(response, edits, first);
        self.1.response_in(response, edits, second);
    }

    #[inline]
    fn response_out<'a>(
        &'a self,
        response: &ClientResponse<'a>,
        edits: &mut Edits<'a>,
        (first, second): &'a Self::Context,
    ) {
        self.0.response_out(response, edits, first);
        self.1.response_out(response, edits, second);
    }

    #[inline]
    fn reply(&self, reply: &mut LocalReply, to: &ReplyTo<'_>, (first, second): &mut Self::Context) {
        self.0.reply(reply, to, first);
        self.1.reply(reply, to, second);
    }

    #[inline]
    fn end(&self, end: &ExchangeEnd<'_>, (first, second): &mut Self::Context) {
        self.0.end(end, first);
        self.1.end(end, second);
    }
}
