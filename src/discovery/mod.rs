//! Discovery: endpoints that are looked up, again and again, in DNS or in files.
//!
//! One thread asks, for all upstreams. What it finds waits for the control thread, which gives it to the workers as
//! new sets of endpoints; no worker waits for it.

pub(crate) mod board;
#[cfg(test)]
mod board_tests;
mod custom;
mod dns;
mod file;
mod outcome;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

use crate::config::Config;
use crate::config::discovery::{DiscoveryPlan, Listed};
use crate::plan::Plan;
use crate::upstream::source::SourceQuery;
use board::{Ask, Board, SourceReport};
use dns::Resolvers;
use file::FileState;
use outcome::LookupOutcome;

/// How long a start, or a reload with new sources, waits for first answers.
pub(crate) const FIRST_LIMIT: Duration = Duration::from_secs(3);

/// Questions that are asked at a time.
const ASKS_MAX: usize = 64;

/// Threads for what blocks: the system's resolver, and files.
const BLOCKING_MAX: usize = 8;

/// For one question to name servers, whatever they answer; the system's resolver sets its own limits.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// Between two times that the control thread is told: however often answers change, and of however many names, workers
/// are not given new endpoints more often.
const PACE: Duration = Duration::from_millis(200);

/// Until what could not be put in force is offered again.
const RETRY: Duration = Duration::from_secs(1);

/// Between two looks when nothing is to be asked.
const IDLE: Duration = Duration::from_secs(3600);

/// Looks up endpoints; a clone is the same.
#[derive(Clone)]
pub(crate) struct Discovery {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something was answered for the first time.
    settled: Condvar,
    /// The thread is to look again.
    asked: Notify,
    on_change: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    board: Board,
    /// Whether its thread was started: not before something is to be looked up.
    is_running: bool,
    has_ended: bool,
    pace: Pace,
}

/// When the control thread is told that something was found.
#[derive(Debug, Default)]
struct Pace {
    /// When it was last.
    told: Option<Instant>,
    /// When it is to be again.
    due: Option<Instant>,
}

impl Pace {
    /// There is something to tell: whether it is told at once, or else a little later.
    fn tells(&mut self, now: Instant) -> bool {
        match self.told {
            Some(told) if now < told + PACE => self.tell_at(told + PACE),
            _ => self.told = Some(now),
        }
        self.told == Some(now)
    }

    /// It is told then, if not before.
    fn tell_at(&mut self, at: Instant) {
        self.due = self.due.into_iter().chain([at]).min();
    }

    /// Whether it is time for what was to be told later.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.take_if(|at| *at <= now).is_some();
        self.told = if is_due { Some(now) } else { self.told };
        is_due
    }
}

impl Discovery {
    /// One that looks up nothing yet. What it finds is announced by `on_change`.
    pub(crate) fn new(on_change: impl Fn() + Send + Sync + 'static) -> Self {
        let (settled, asked) = (Condvar::new(), Notify::new());
        let on_change = Box::new(on_change);
        Self { shared: Arc::new(Shared { state: Mutex::default(), settled, asked, on_change }) }
    }

    /// Looks up what a configuration needs that is not known yet, for up to `limit`, and gives its plan the endpoints that
    /// are known then. Returns what has no answer, in words.
    pub(crate) fn prepare(&self, config: &mut Config, limit: Duration) -> Vec<String> {
        let plan = Arc::clone(&config.discovery);
        if plan.upstreams.is_empty() {
            return Vec::new();
        }
        let mut state = self.shared.lock();
        state.board.consider(&plan, Instant::now());
        self.wake(&mut state);
        let waits = |state: &mut State| !state.has_ended && !state.board.is_settled(&plan);
        let state = self.shared.settled.wait_timeout_while(state, limit, waits);
        let state = state.unwrap_or_else(PoisonError::into_inner).0;
        let mut told = state.board.unanswered(&plan, &config.plan);
        let listed = state.board.list(&plan, &config.plan);
        drop(state);
        told.extend(config.adopt(listed));
        told
    }

    /// Looks up what this configuration needs from now on, and nothing else.
    pub(crate) fn follow(&self, plan: &Arc<DiscoveryPlan>) {
        let mut state = self.shared.lock();
        if plan.upstreams.is_empty() && !state.is_running {
            return;
        }
        state.board.follow(plan, Instant::now());
        self.wake(&mut state);
        (self.shared.on_change)();
    }

    /// The endpoints of the upstreams that have sources, if something has become known.
    pub(crate) fn take(&self, plan: &Plan) -> Vec<Listed> {
        self.shared.lock().board.take(plan)
    }

    /// Offers again, a little later, what could not be put in force.
    pub(crate) fn put_back(&self) {
        let mut state = self.shared.lock();
        state.board.put_back();
        state.pace.tell_at(Instant::now() + RETRY);
        self.shared.asked.notify_one();
    }

    /// All sources as they are now.
    pub(crate) fn report(&self) -> Vec<SourceReport> {
        self.shared.lock().board.report(Instant::now())
    }

    /// Looks up nothing any more.
    pub(crate) fn end(&self) {
        self.shared.lock().has_ended = true;
        self.shared.asked.notify_one();
    }

    /// Has the thread look at the board, and starts it if it does not run.
    fn wake(&self, state: &mut State) {
        self.shared.asked.notify_one();
        if state.is_running {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new().name("discovery".to_owned()).spawn(move || {
            if let Err(error) = run(&shared) {
                log::error!("no endpoints are looked up: {error}");
                shared.lock().has_ended = true;
                shared.settled.notify_all();
            }
        });
        match started {
            Ok(_) => state.is_running = true,
            Err(error) => log::error!("no endpoints are looked up: cannot start a thread: {error}"),
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(shared: &Shared) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .build()?;
    runtime.block_on(Asker::new().work(shared));
    // What still blocks is not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// Looks up the endpoints of a configuration once, for up to 3 s, and gives its plan those that are found. What is not
/// becomes a warning.
pub fn look_up(config: &mut Config) {
    let discovery = Discovery::new(|| {});
    let told = discovery.prepare(config, FIRST_LIMIT);
    config.warnings.extend(told);
    discovery.end();
}

/// What was asked, and what has come of it.
type Done = (SourceQuery, LookupOutcome, FileState);

/// The thread at work.
struct Asker {
    resolvers: Resolvers,
    asking: JoinSet<Done>,
    /// What each task asks: one that panics cannot say.
    questions: HashMap<Id, SourceQuery>,
}

impl Asker {
    fn new() -> Self {
        Self { resolvers: Resolvers::new(), asking: JoinSet::new(), questions: HashMap::new() }
    }

    async fn work(mut self, shared: &Shared) {
        loop {
            let now = Instant::now();
            let (due, next) = {
                let mut state = shared.lock();
                if state.has_ended {
                    return;
                }
                if state.pace.is_due(now) {
                    (shared.on_change)();
                }
                let due = state.board.due(now, ASKS_MAX - self.asking.len());
                let next = state.board.next().into_iter().chain(state.pace.due).min();
                (due, next.unwrap_or(now + IDLE))
            };
            // While all places are taken, one that is due waits for the end of another.
            let next = if self.asking.len() + due.len() < ASKS_MAX { next } else { now + IDLE };
            for ask in due {
                self.ask(ask);
            }
            tokio::select! {
                Some(done) = self.asking.join_next_with_id() => self.record(done, shared),
                () = shared.asked.notified() => {}
                () = sleep_until(TokioInstant::from_std(next)) => {}
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        let Ask { question, servers, before, file } = ask;
        let asked = question.clone();
        let is_system = servers.is_empty();
        let resolver = match &question {
            SourceQuery::File(_) | SourceQuery::Custom(_) => None,
            SourceQuery::Name(_) if is_system => None,
            _ => Some(self.resolvers.get(&servers)),
        };
        let work = async move {
            let outcome = match (&asked, resolver) {
                (SourceQuery::File(path), _) => {
                    let path = path.clone();
                    let looked = spawn_blocking(move || file::look(&path, file)).await;
                    let failed =
                        |error: JoinError| (LookupOutcome::Failed(error.to_string()), file);
                    let (outcome, file) = looked.unwrap_or_else(failed);
                    return (asked, outcome, file);
                }
                (SourceQuery::Custom(query), _) => {
                    let query = query.clone();
                    let looked = spawn_blocking(move || custom::look(&query)).await;
                    looked.unwrap_or_else(|error| LookupOutcome::Failed(custom::why(&error)))
                }
                (_, Some(Err(reason))) => LookupOutcome::Failed(reason),
                (SourceQuery::Dns(host), Some(Ok(resolver))) => {
                    within(dns::dns(resolver, host.clone(), before)).await
                }
                (SourceQuery::Name(host), Some(Ok(resolver))) => {
                    within(dns::name(resolver, host.clone(), before)).await
                }
                (SourceQuery::Srv(name), Some(Ok(resolver))) => {
                    within(dns::services(resolver, name.clone(), before)).await
                }
                (SourceQuery::Name(host), None) => dns::system_name(host.clone()).await,
                (_, None) => LookupOutcome::Failed("nobody can be asked".to_owned()),
            };
            (asked, outcome, file)
        };
        let handle = self.asking.spawn(work);
        self.questions.insert(handle.id(), question);
    }

    fn record(&mut self, done: Result<(Id, Done), JoinError>, shared: &Shared) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(question) = self.questions.remove(&id) else { return };
        let (outcome, file) = match done {
            Ok((_, (_, outcome, file))) => (outcome, file),
            Err(error) => (LookupOutcome::Failed(error.to_string()), FileState::default()),
        };
        let (mut state, now) = (shared.lock(), Instant::now());
        if state.board.record(&question, outcome, file, now) {
            if state.pace.tells(now) {
                (shared.on_change)();
            }
            shared.settled.notify_all();
        }
    }
}

/// What comes of asking name servers, but not later than it matters.
async fn within(asked: impl Future<Output = LookupOutcome>) -> LookupOutcome {
    tokio::select! {
        outcome = asked => outcome,
        () = sleep(ASK_LIMIT) => LookupOutcome::Failed("the name servers do not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_often_something_is_found_it_is_told_five_times_a_second() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        let mut told = Vec::new();
        for millis in 0..1000 {
            let now = began + Duration::from_millis(millis);
            if pace.is_due(now) || millis <= 900 && pace.tells(now) {
                told.push(millis);
            }
        }
        assert_eq!((told, pace.due), (vec![0, 200, 400, 600, 800], Some(began + 5 * PACE)));
        assert!(pace.is_due(began + 5 * PACE) && pace.due.is_none());
        assert!(pace.tells(began + 7 * PACE), "after a while it is told at once again");
    }
}
