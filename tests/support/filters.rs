//! Filters whose calls are given by a test: all tests share one type, and so one kind of sessions.

use std::sync::{Arc, Mutex};

use evener::{
    ClientRequest, ClientResponse, ConnectionVerdict, Edits, EndpointAttempt, EndpointResponse,
    ExchangeEnd, Filters, LocalReply, NewConnection, ReplyTo, RouteChoice, Verdict,
};

use super::{Proxy, eventually};

/// Decides about a request whose head is at hand.
type OnRequest = Box<dyn for<'a> Fn(&ClientRequest<'a>, &mut Edits<'a>) -> Verdict + Send + Sync>;
type OnRoute = Box<
    dyn for<'a> Fn(&ClientRequest<'a>, &mut RouteChoice<'a>, &mut Edits<'a>) -> Verdict
        + Send
        + Sync,
>;
type OnReply = Box<dyn Fn(&mut LocalReply) + Send + Sync>;
/// What is to be noted of an exchange that has ended, beside its status.
type OnEnd = Box<dyn Fn(&ExchangeEnd<'_>) -> String + Send + Sync>;

/// What becomes of a request that waits to be admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    #[default]
    AtOnce,
    /// After the others of its worker have had their turn.
    Later,
    Refused,
    Never,
}

/// Filters that note each call, and do what a test says.
#[derive(Default)]
pub struct Script {
    pub refuses: bool,
    pub request: Option<OnRequest>,
    pub route: Option<OnRoute>,
    pub admission: Admission,
    /// What attempts say, after the number of the attempt.
    pub attempts: bool,
    pub response_in: Option<&'static str>,
    pub response_out: Option<&'static str>,
    pub reply: Option<OnReply>,
    pub end: Option<OnEnd>,
    pub calls: Calls,
}

/// The calls so far, with what they were about.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, call: impl Into<String>) {
        self.0.lock().unwrap().push(call.into());
    }

    /// All of them, once there are so many.
    pub fn first(&self, count: usize) -> Vec<String> {
        eventually("the calls are made", || self.0.lock().unwrap().len() >= count);
        self.0.lock().unwrap().clone()
    }

    /// What the first exchange that ends is told, after its status.
    pub fn end(&self) -> String {
        let said = || {
            let calls = self.0.lock().unwrap();
            let end = calls.iter().find_map(|call| call.strip_prefix("end "));
            end.and_then(|said| Some(said.split_once(' ')?.1.to_owned()))
        };
        eventually("the exchange ends", || said().is_some());
        said().unwrap()
    }

    /// Waits for a call.
    pub fn wait_for(&self, call: &str) {
        eventually(call, || self.0.lock().unwrap().iter().any(|known| known == call));
    }
}

/// What is kept of one request: the text of each attempt.
#[derive(Default)]
pub struct Attempts(Vec<String>);

impl Filters for Script {
    type Context = Attempts;

    const RECORDS: bool = true;

    fn connection(&self, _: &NewConnection<'_>) -> ConnectionVerdict {
        self.calls.note("connection");
        if self.refuses { ConnectionVerdict::Refuse } else { ConnectionVerdict::Take }
    }

    fn request<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        edits: &mut Edits<'a>,
        _: &mut Attempts,
    ) -> Verdict {
        self.calls.note("request");
        self.request.as_ref().map_or(Verdict::Continue, |call| call(request, edits))
    }

    fn route<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        choice: &mut RouteChoice<'a>,
        edits: &mut Edits<'a>,
        _: &mut Attempts,
    ) -> Verdict {
        self.calls.note("route");
        self.route.as_ref().map_or(Verdict::Continue, |call| call(request, choice, edits))
    }

    async fn admit(&self, _: &mut Attempts) -> Verdict {
        self.calls.note("admit");
        match self.admission {
            Admission::AtOnce => Verdict::Continue,
            Admission::Later => {
                tokio::task::yield_now().await;
                Verdict::Continue
            }
            Admission::Refused => Verdict::reply(LocalReply::new(403, "not admitted")),
            Admission::Never => std::future::pending().await,
        }
    }

    fn attempt<'a>(
        &'a self,
        attempt: &EndpointAttempt<'a>,
        edits: &mut Edits<'a>,
        attempts: &'a mut Attempts,
    ) {
        self.calls.note("attempt");
        if !self.attempts {
            return;
        }
        attempts.0.push(format!("{} at {}", attempts.0.len() + 1, attempt.upstream().name));
        let [first, .., last] = &attempts.0[..] else {
            return edits.set_header("X-First", attempts.0[0].as_bytes()).unwrap();
        };
        assert_ne!(first, last);
        edits.set_header("X-Attempt", last.as_bytes()).unwrap();
    }

    fn response_in<'a>(
        &'a self,
        response: &EndpointResponse<'a>,
        edits: &mut Edits<'a>,
        _: &'a Attempts,
    ) {
        self.calls.note(format!("response_in {}", response.head.status));
        if let Some(said) = self.response_in {
            edits.set_header("X-In", said.as_bytes()).unwrap();
        }
    }

    fn response_out<'a>(
        &'a self,
        response: &ClientResponse<'a>,
        edits: &mut Edits<'a>,
        _: &'a Attempts,
    ) {
        self.calls.note(format!("response_out {}", response.status));
        if let Some(said) = self.response_out {
            edits.set_header("X-Out", said.as_bytes()).unwrap();
        }
    }

    fn reply(&self, reply: &mut LocalReply, _: &ReplyTo<'_>, _: &mut Attempts) {
        self.calls.note(format!("reply {}", reply.status()));
        self.reply.iter().for_each(|call| call(reply));
    }

    fn end(&self, end: &ExchangeEnd<'_>, _: &mut Attempts) {
        let status = end.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let more = self.end.as_ref().map(|call| format!(" {}", call(end))).unwrap_or_default();
        self.calls.note(format!("end {status}{more}"));
    }
}

impl Proxy {
    /// Starts it with these filters after the rules, and with these flags; and where its calls are noted.
    pub fn filtered(script: Script, flags: &[&str]) -> (Self, Calls) {
        let calls = script.calls.clone();
        (Self::configured_with(super::proxy::config(flags), script), calls)
    }
}
