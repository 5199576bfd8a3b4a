//! The copy of a request that another upstream is to get: made on its way, and sent once it is whole.

use std::cell::Cell;
use std::rc::Rc;

use crate::http::h2::section::NeverIndexed;
use crate::http::message::edits::EditName;
use crate::http::message::head::RequestHead;
use crate::http::message::lookup;
use crate::http::rules::mirror::MirrorOutcome;
use crate::id::UpstreamId;
use crate::net::deadline::Activity;
use crate::plan::context::WorkerContext;
use crate::relay::body_copy::{BodyCopy, BodyTap, PieceForm};
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
    /// Of a request with this head that an upstream is to get a copy of, if one is. A copy is not copied: there
    /// would be no end.
    #[inline]
    pub fn of(
        head: &RequestHead<'_, '_>,
        upstream: Option<UpstreamId>,
        context: &WorkerContext,
    ) -> Self {
        let Some(upstream) = upstream else { return Self::No };
        if lookup::headers(&head.fields, EditName::X_MIRROR.text()).next().is_some() {
            context.metrics.mirrored(MirrorOutcome::Exempt);
            return Self::No;
        }
        Self::For(upstream)
    }

    /// What meters the request on its way.
    pub fn meter<'a>(&'a self, activity: &'a Activity) -> Meter<'a> {
        match self {
            Self::No | Self::For(_) => Meter::new(activity),
            Self::Underway(copy) => Meter::tapped(activity, &**copy),
        }
    }

    /// The request has come, whole; `None` if it is not copied, that is known already, or its body is too long.
    pub fn complete(&self) -> Option<WholeRequest> {
        let Self::Underway(copy) = self else { return None };
        let (permit, begin) = copy.begin.take()?;
        let rest = copy.rest.take()?;
        Some(WholeRequest { begin, rest, upstream: copy.upstream, permit })
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
    /// Who gets the copy.
    pub upstream: UpstreamId,
    /// Lets there be one.
    pub permit: CopyPermit,
}

/// Lets a copy be under way as long as this lasts.
pub struct CopyPermit(Rc<WorkerContext>);

impl CopyPermit {
    /// One more, if there is room.
    pub fn take(context: &Rc<WorkerContext>) -> Option<Self> {
        let has_room = context.metrics.copies_in_flight() < context.plan.copies_max;
        has_room.then(|| {
            context.metrics.copies_begun.add(1);
            Self(Rc::clone(context))
        })
    }

    /// What its request is served with.
    pub fn context(&self) -> &Rc<WorkerContext> {
        &self.0
    }
}

impl Drop for CopyPermit {
    fn drop(&mut self) {
        self.0.metrics.copies_ended.add(1);
    }
}

/// A copy that is being made.
pub struct RequestCopy {
    upstream: UpstreamId,
    /// The head, and the part of the body that came with it; nothing once it has been sent.
    begin: Cell<Option<(CopyPermit, WrittenRequest)>>,
    /// What has come of it since.
    rest: BodyCopy,
}

impl RequestCopy {
    /// For this upstream, of a request that begins so.
    pub fn new(permit: CopyPermit, upstream: UpstreamId, begin: WrittenRequest) -> Self {
        Self { upstream, begin: Cell::new(Some((permit, begin))), rest: BodyCopy::default() }
    }
}

impl BodyTap for RequestCopy {
    fn goes_on(&self) -> bool {
        self.rest.goes_on()
    }

    fn add(&self, piece: &[u8], form: PieceForm) {
        self.rest.add(piece, form);
        // Others have its room, however long the rest takes.
        if !self.rest.goes_on()
            && let Some((permit, _)) = self.begin.take()
        {
            permit.0.metrics.mirrored(MirrorOutcome::TooLong);
        }
    }
}

impl Drop for RequestCopy {
    fn drop(&mut self) {
        if let Some((permit, _)) = self.begin.take() {
            permit.0.metrics.mirrored(MirrorOutcome::Incomplete);
        }
    }
}
