//! The copy of a request that another upstream is to get: made on its way, and sent once it is whole.

use std::cell::Cell;
use std::rc::Rc;

use crate::http::h2::section::NeverIndexed;
use crate::http::rules::mirror::MirrorOutcome;
use crate::id::UpstreamId;
use crate::net::deadline::Activity;
use crate::plan::context::WorkerContext;
use crate::relay::body_copy::BodyCopy;
use crate::relay::copy::Meter;

/// Whether a request is copied.
#[derive(Default)]
pub enum Mirroring {
    /// It is not.
    #[default]
    No,
    /// It is to be, for an upstream.
    For(UpstreamId),
    /// It is, while it is being received. Boxed, since few are.
    Underway(Box<RequestCopy>),
}

impl Mirroring {
    /// Of a request that is copied for this upstream, if any.
    pub fn of(upstream: Option<UpstreamId>) -> Self {
        upstream.map_or(Self::No, Self::For)
    }

    /// What meters the request on its way.
    pub fn meter<'a>(&'a self, activity: &'a Activity) -> Meter<'a> {
        match self {
            Self::No | Self::For(_) => Meter::new(activity),
            Self::Underway(copy) => Meter::copying(activity, &copy.rest),
        }
    }

    /// The request has come, whole: who gets the copy, and what it is. `None` if there is none, it is known already,
    /// or its body is too long.
    pub fn complete(&self) -> Option<(&Rc<WorkerContext>, UpstreamId, WholeRequest)> {
        let Self::Underway(copy) = self else { return None };
        let begin = copy.begin.take()?;
        let Some(rest) = copy.rest.take() else {
            copy.context.metrics.mirrored(MirrorOutcome::TooLong);
            return None;
        };
        Some((&copy.context, copy.upstream, WholeRequest { begin, rest }))
    }
}

/// A request as it was written for HTTP/1.1: its head, and the beginning of its body.
pub struct WrittenRequest {
    /// The bytes.
    pub bytes: Box<[u8]>,
    /// Which of its fields are never to be indexed in HTTP/2.
    pub never_indexed: NeverIndexed,
}

/// A request that has come, whole.
pub struct WholeRequest {
    /// Its head, and the beginning of its body.
    pub begin: WrittenRequest,
    /// The data of the rest.
    pub rest: Vec<u8>,
}

/// A copy that is being made.
pub struct RequestCopy {
    context: Rc<WorkerContext>,
    upstream: UpstreamId,
    /// The head, and the part of the body that came with it; nothing once it has been sent.
    begin: Cell<Option<WrittenRequest>>,
    /// What has come of it since.
    rest: BodyCopy,
}

impl RequestCopy {
    /// For this upstream, of a request that begins so.
    pub fn new(context: &Rc<WorkerContext>, upstream: UpstreamId, begin: WrittenRequest) -> Self {
        let begin = Cell::new(Some(begin));
        Self { context: Rc::clone(context), upstream, begin, rest: BodyCopy::default() }
    }
}

impl Drop for RequestCopy {
    fn drop(&mut self) {
        if self.begin.take().is_some() {
            self.context.metrics.mirrored(MirrorOutcome::Incomplete);
        }
    }
}
