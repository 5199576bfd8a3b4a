//! What is recorded of a request that is part of a trace: its span, and one for each attempt.

use std::sync::Arc;
use std::time::Duration;

use super::context::{SpanId, TraceContext, TraceFlags, TraceId};
use crate::access_log::{Facts, Names, Texts};
use crate::id::{EndpointId, UpstreamId};
use crate::termination::Termination;

/// The span of a request while it is being served.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    /// The trace.
    pub trace: TraceId,
    /// What the trace's other spans are told.
    pub flags: TraceFlags,
    /// The span of whoever sent the request, if that was named.
    pub parent: Option<SpanId>,
    /// The span of the request.
    pub span: SpanId,
    /// That of its first attempt, which may be under way or never begin.
    pub first: SpanId,
    /// The attempts so far.
    pub attempts: Vec<AttemptSpan>,
}

/// An attempt at an endpoint. Times count from the first byte of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptSpan {
    /// Its span.
    pub span: SpanId,
    /// The upstream.
    pub upstream: UpstreamId,
    /// The endpoint of it.
    pub endpoint: EndpointId,
    /// When it began.
    pub began: Duration,
    /// When it ended, if that was not with the request.
    pub ended: Option<Duration>,
    /// How it ended, if not as the request did.
    pub termination: Option<Termination>,
}

impl SpanRecord {
    /// One more attempt begins. The numbers by chance are for its span, unless it is the first.
    pub fn try_at(
        &mut self,
        (upstream, endpoint): (UpstreamId, EndpointId),
        now: Duration,
        chance: impl FnOnce() -> u64,
    ) {
        let span = match self.attempts.last_mut() {
            None => self.first,
            Some(last) => {
                // Its answer was declined, unless it has failed.
                last.ended.get_or_insert(now);
                last.termination.get_or_insert(Termination::COMPLETE);
                SpanId::by_chance(chance())
            }
        };
        let (ended, termination) = (None, None);
        self.attempts.push(AttemptSpan {
            span,
            upstream,
            endpoint,
            began: now,
            ended,
            termination,
        });
    }

    /// The attempt under way has failed.
    pub fn fail(&mut self, termination: Termination, now: Duration) {
        if let Some(last) = self.attempts.last_mut() {
            last.ended.get_or_insert(now);
            last.termination.get_or_insert(termination);
        }
    }

    /// What the endpoint that is tried is to be told, if that is not what the first one was.
    pub fn retold(&self) -> Option<TraceContext> {
        let [_, .., last] = &self.attempts[..] else { return None };
        Some(TraceContext { trace: self.trace, parent: last.span, flags: self.flags })
    }
}

/// A request that has ended, with all that its spans say.
#[derive(Debug)]
pub struct FinishedSpan {
    /// The spans.
    pub record: Box<SpanRecord>,
    /// What is known of the request.
    pub facts: Facts,
    /// What it said.
    pub texts: Texts,
    /// The names of the plan that it was served under, as they are.
    pub names: Arc<Names>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::termination::{Ender, ExchangePhase};

    fn at(endpoint: usize) -> (UpstreamId, EndpointId) {
        (UpstreamId::new(0), EndpointId::new(endpoint))
    }

    #[test]
    fn the_first_attempt_has_the_span_that_was_told_and_each_further_one_its_own() {
        let mut record = SpanRecord {
            trace: TraceId::by_chance(1, 2),
            flags: TraceFlags::of_root(true),
            parent: None,
            span: SpanId::by_chance(3),
            first: SpanId::by_chance(4),
            attempts: Vec::new(),
        };
        record.try_at(at(0), Duration::from_millis(1), || unreachable!());
        assert_eq!(record.retold(), None);
        let refused = Termination::new(Ender::Upstream, ExchangePhase::Connect);
        record.fail(refused, Duration::from_millis(2));
        record.try_at(at(1), Duration::from_millis(3), || 5);
        assert_eq!(record.retold().map(|told| told.parent), Some(SpanId::by_chance(5)));
        record.try_at(at(2), Duration::from_millis(4), || 6);
        let ended: Vec<_> =
            record.attempts.iter().map(|each| (each.ended, each.termination)).collect();
        assert_eq!(
            ended,
            [
                (Some(Duration::from_millis(2)), Some(refused)),
                (Some(Duration::from_millis(4)), Some(Termination::COMPLETE)),
                (None, None)
            ]
        );
        assert_eq!(record.attempts[0].span, SpanId::by_chance(4));
    }
}
