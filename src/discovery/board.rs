//! What is known of each question: its last good answer, when it is asked again, and what was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::FileState;
use super::outcome::LookupOutcome;
use crate::config::discovery::{DiscoveryPlan, Listed, SourcedUpstream};
use crate::id::UpstreamId;
use crate::plan::Plan;
use crate::upstream::source::{SourceAnswer, SourceQuery, again_after, pause_after};

/// Between two lookups of a plain name, whose TTL the system does not tell; with a TTL that is told, at most.
const NAME_INTERVAL: Duration = Duration::from_secs(30);

/// Between two looks at a file.
const FILE_INTERVAL: Duration = Duration::from_millis(500);

/// A question to ask now.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) question: SourceQuery,
    /// The name servers to ask; those of the system if there are none.
    pub(super) servers: Vec<SocketAddr>,
    /// What was answered last.
    pub(super) before: Option<Arc<SourceAnswer>>,
    /// What a file was like.
    pub(super) file: FileState,
}

/// What is known of a question.
#[derive(Debug)]
struct Known {
    answer: Option<Arc<SourceAnswer>>,
    /// How many endpoints of the answer are above the ceiling.
    cut: usize,
    /// Whether it was asked to the end at least once.
    is_asked: bool,
    is_asking: bool,
    /// Why it was not answered last, if it was not.
    failure: Option<String>,
    failures_in_row: u32,
    lookups: u64,
    failures: u64,
    succeeded: Option<Instant>,
    next: Instant,
    file: FileState,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self {
            answer: None,
            cut: 0,
            is_asked: false,
            is_asking: false,
            failure: None,
            failures_in_row: 0,
            lookups: 0,
            failures: 0,
            succeeded: None,
            next: now,
            file: FileState::default(),
        }
    }
}

/// A source as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct SourceReport {
    /// What is asked.
    pub(crate) source: String,
    /// The upstreams that depend on it.
    pub(crate) upstreams: Vec<UpstreamId>,
    /// The endpoints of its last good answer.
    pub(crate) endpoints: usize,
    /// How many more there are than a source may have.
    pub(crate) cut: usize,
    /// The time since that answer was confirmed.
    pub(crate) succeeded: Option<Duration>,
    /// Why it was not answered last, if it was not.
    pub(crate) failure: Option<String>,
    /// The time until it is asked again.
    pub(crate) next: Duration,
    /// How often it was asked.
    pub(crate) lookups: u64,
    /// How often that failed.
    pub(crate) failures: u64,
}

/// All questions of the configuration in force, and of one that may follow.
#[derive(Debug, Default)]
pub(super) struct Board {
    followed: Arc<DiscoveryPlan>,
    candidate: Option<Arc<DiscoveryPlan>>,
    known: BTreeMap<SourceQuery, Known>,
    /// Whether something has become known since it was last taken.
    has_changed: bool,
    /// Why the endpoints of upstreams do not suit them, as it was told.
    misfits: BTreeMap<usize, String>,
}

impl Board {
    /// Asks for this configuration from now on. Its answers stay, but other name servers are asked at once.
    pub(super) fn follow(&mut self, plan: &Arc<DiscoveryPlan>, now: Instant) {
        let are_others = self.followed.servers != plan.servers;
        self.followed = Arc::clone(plan);
        (self.candidate, self.misfits) = (None, BTreeMap::new());
        self.retain(now);
        for (question, known) in &mut self.known {
            if are_others && known.is_asked && !question.is_list() {
                known.next = now;
            }
        }
        self.has_changed = true;
    }

    /// Asks for this configuration too, which may be followed.
    pub(super) fn consider(&mut self, plan: &Arc<DiscoveryPlan>, now: Instant) {
        self.candidate = Some(Arc::clone(plan));
        self.retain(now);
    }

    /// Forgets what nothing depends on any more, and takes up what something does.
    #[expect(clippy::mutable_key_type, reason = "a source in code is compared by which it is")]
    fn retain(&mut self, now: Instant) {
        let mut wanted: BTreeSet<SourceQuery> = BTreeSet::new();
        for plan in std::iter::once(&self.followed).chain(&self.candidate) {
            wanted.extend(plan.questions().cloned());
        }
        let answers = wanted.iter().filter_map(|question| self.answer(question));
        let inner: Vec<_> = answers.flat_map(SourceAnswer::questions).cloned().collect();
        wanted.extend(inner);
        self.known.retain(|question, _| wanted.contains(question));
        for question in wanted {
            self.known.entry(question).or_insert_with(|| Known::new(now));
        }
    }

    /// The last good answer.
    fn answer(&self, question: &SourceQuery) -> Option<&SourceAnswer> {
        self.known.get(question)?.answer.as_deref()
    }

    /// At most so many of the questions that are due: those that have waited longest, so that none waits for ever.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Ask> {
        let of_followed = |followed: &DiscoveryPlan| -> BTreeSet<SourceQuery> {
            let inner = followed.questions().filter_map(|question| self.answer(question));
            followed.questions().chain(inner.flat_map(SourceAnswer::questions)).cloned().collect()
        };
        // Hardly ever is there one, and there may be a thousand questions.
        let candidate = self.candidate.as_ref().map(|plan| (plan, of_followed(&self.followed)));
        let due = self.known.iter_mut().filter(|(_, known)| !known.is_asking && known.next <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, known)| known.next);
        let asked = due.into_iter().take(most).map(|(question, known)| {
            known.is_asking = true;
            let plan = match &candidate {
                Some((candidate, of_followed)) if !of_followed.contains(question) => *candidate,
                _ => &self.followed,
            };
            Ask {
                question: question.clone(),
                servers: plan.servers.clone(),
                before: known.answer.clone(),
                file: known.file,
            }
        });
        asked.collect()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.known.values().filter(|known| !known.is_asking).map(|known| known.next).min()
    }

    /// Writes down what has come of a question; whether something new is known.
    pub(super) fn record(
        &mut self,
        question: &SourceQuery,
        outcome: LookupOutcome,
        file: FileState,
        now: Instant,
    ) -> bool {
        // Nothing depends on it any more.
        let Some(known) = self.known.get_mut(question) else { return false };
        known.is_asking = false;
        known.file = file;
        let is_first = !std::mem::replace(&mut known.is_asked, true);
        let mut has_changed = is_first;
        match outcome {
            LookupOutcome::Unchanged => {
                known.next = now + FILE_INTERVAL;
                known.succeeded = if known.failure.is_none() { Some(now) } else { known.succeeded };
            }
            LookupOutcome::Failed(reason) => {
                known.lookups += 1;
                known.failures += 1;
                known.failures_in_row = known.failures_in_row.saturating_add(1);
                known.next = now + interval_after_failure(question, known.failures_in_row);
                let is_told = known.failure.as_ref() == Some(&reason);
                // Whoever prepares a configuration says what has no answer yet.
                if !(is_told || is_first && self.candidate.is_some()) {
                    let stays = kept(known.answer.as_deref());
                    log::warn!("{}; {stays}", failure(question, &reason));
                }
                known.failure = Some(reason);
            }
            LookupOutcome::Found(answer, ttl) => {
                let (answer, cut) = answer.bounded();
                known.lookups += 1;
                known.next = now + interval(question, ttl);
                known.succeeded = Some(now);
                known.failures_in_row = 0;
                if known.failure.take().is_some() {
                    let again = if known.answer.is_some() { " again" } else { "" };
                    log::info!("{question}: answered{again}");
                }
                if known.cut != cut && cut > 0 {
                    log::warn!("{question}: {cut} endpoints above the ceiling are left out");
                }
                known.cut = cut;
                if known.answer.as_deref() != Some(&answer) {
                    known.answer = Some(Arc::new(answer));
                    has_changed = true;
                }
            }
        }
        if has_changed && question.is_list() {
            self.retain(now);
        }
        self.has_changed |= has_changed;
        has_changed
    }

    /// Whether every question of a configuration has been asked to the end.
    pub(super) fn is_settled(&self, plan: &DiscoveryPlan) -> bool {
        plan.upstreams.iter().all(|upstream| self.unsettled(upstream).is_none())
    }

    /// A question of an upstream that has not been asked to the end.
    fn unsettled<'a>(&'a self, upstream: &'a SourcedUpstream) -> Option<&'a SourceQuery> {
        self.questions(upstream)
            .find(|question| self.known.get(*question).is_none_or(|known| !known.is_asked))
    }

    /// What is asked for an upstream, with what the answers make necessary.
    fn questions<'a>(
        &'a self,
        upstream: &'a SourcedUpstream,
    ) -> impl Iterator<Item = &'a SourceQuery> {
        let inner = upstream.questions().filter_map(|question| self.answer(question));
        upstream.questions().chain(inner.flat_map(SourceAnswer::questions))
    }

    /// The endpoints of the upstreams of a configuration by what is known.
    pub(super) fn list(&self, of: &DiscoveryPlan, plan: &Plan) -> Vec<Listed> {
        of.list(plan, &|query| self.answer(query))
    }

    /// The same of those in force, if something has become known since the last time. One that waits for a first answer
    /// stays as it is.
    pub(super) fn take(&mut self, plan: &Plan) -> Vec<Listed> {
        if !std::mem::take(&mut self.has_changed) {
            return Vec::new();
        }
        let followed = Arc::clone(&self.followed);
        let waits = |id: UpstreamId| {
            let mut upstreams = followed.upstreams.iter().filter(|known| known.id == id);
            upstreams.any(|known| self.unsettled(known).is_some())
        };
        let mut listed = self.list(&followed, plan);
        listed.retain(|(id, _)| !waits(*id));
        let told = &mut self.misfits;
        listed.retain(|(id, endpoints)| match endpoints {
            Ok(_) => {
                told.remove(&id.index());
                true
            }
            Err(reason) => told.insert(id.index(), reason.clone()).as_ref() != Some(reason),
        });
        listed
    }

    /// What was taken could not be put in force.
    pub(super) fn put_back(&mut self) {
        self.has_changed = true;
    }

    /// What of a configuration has no answer yet, and why.
    pub(super) fn unanswered(&self, of: &DiscoveryPlan, plan: &Plan) -> Vec<String> {
        let mut told = Vec::new();
        for upstream in &of.upstreams {
            for question in self.questions(upstream) {
                let known = self.known.get(question);
                if known.is_some_and(|known| known.answer.is_some()) {
                    continue;
                }
                let reason = known.and_then(|known| known.failure.as_deref());
                let reason = reason.unwrap_or("no answer yet");
                let name = &plan.upstream(upstream.id).name;
                told.push(format!("upstream {name}: {}", failure(question, reason)));
            }
        }
        told
    }

    /// All sources as they are shown.
    pub(super) fn report(&self, now: Instant) -> Vec<SourceReport> {
        let shown = self.known.iter().map(|(question, known)| SourceReport {
            source: question.to_string(),
            upstreams: (self.followed.upstreams.iter())
                .filter(|upstream| self.questions(upstream).any(|asked| asked == question))
                .map(|upstream| upstream.id)
                .collect(),
            endpoints: known.answer.as_deref().map_or(0, SourceAnswer::count),
            cut: known.cut,
            succeeded: known.succeeded.map(|at| now.saturating_duration_since(at)),
            failure: known.failure.clone(),
            next: known.next.saturating_duration_since(now),
            lookups: known.lookups,
            failures: known.failures,
        });
        shown.collect()
    }
}

/// The time until a question is asked again that was answered.
fn interval(question: &SourceQuery, ttl: Option<Duration>) -> Duration {
    match (question, ttl) {
        (SourceQuery::File(_), _) => FILE_INTERVAL,
        (SourceQuery::Name(_), Some(ttl)) => again_after(ttl).min(NAME_INTERVAL),
        (_, Some(ttl)) => again_after(ttl),
        (_, None) => NAME_INTERVAL,
    }
}

fn interval_after_failure(question: &SourceQuery, failures: u32) -> Duration {
    match question {
        SourceQuery::File(_) => FILE_INTERVAL,
        _ => pause_after(failures),
    }
}

/// Why a question has no answer, in words: of a line in a file with its place.
fn failure(question: &SourceQuery, reason: &str) -> String {
    match reason.strip_prefix("line ") {
        Some(line) => format!("{question}:{line}"),
        None => format!("{question}: {reason}"),
    }
}

/// What stays in spite of a failure, in words.
fn kept(answer: Option<&SourceAnswer>) -> String {
    match answer.map(SourceAnswer::count) {
        None => "it has no endpoints yet".to_owned(),
        Some(1) => "its endpoint stays".to_owned(),
        Some(count) => format!("its {count} endpoints stay"),
    }
}
