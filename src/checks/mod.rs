//! Active checks: one checker per process, one task per address, verdicts in the endpoint's word.

mod body;
mod failure;
mod h1;
mod h2;
mod judge;
mod kept;
mod proof;
mod spec;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::task::coop::unconstrained;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::fault::{Fault, Kind, Stage};
use crate::http::h1::scan::Limits;
use crate::id::UpstreamId;
use crate::net::connect::{Prober, connect};
use crate::net::deadline::{Elapsed, Epoch};
use crate::net::descriptors;
use crate::net::limiter::ConnectionLimiter;
use crate::plan::Plan;
use crate::proxy_protocol::Header;
use crate::session::attempt;
use crate::session::secure::secure;
use crate::tls_fault::TlsFault;
use crate::upstream::Traffic;
use crate::upstream::check::{Check, CheckKind, CheckOutcome, RiseFall};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::{CheckVerdict, Tick};
use failure::CheckFailure;
use h1::CheckConnection;
use h2::Question;
use kept::{KeptConnection, KeptConnections};
use proof::Proof;
use spec::{CheckSpec, CheckTarget, asked_at, hosts_of_routes};

/// How long its thread may take to end.
const END_LIMIT: Duration = Duration::from_secs(1);

/// Between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(1);

/// Checks of all endpoints begin in beats, of which this is the longest: to wake the thread for one check costs as much as the
/// check. With 10 000 endpoints a second a beat has a hundred checks, 2 ms of work.
const BEAT_MAX: Duration = Duration::from_millis(10);

/// A question that is asked again and again, and every endpoint it is asked for.
struct RunningCheck {
    targets: Rc<RefCell<Vec<CheckTarget>>>,
    task: JoinHandle<()>,
}

/// What the checks of all addresses have in common.
struct Checker {
    limits: Cell<Limits>,
    epoch: Epoch,
    kept: KeptConnections,
    prober: Prober,
}

/// The thread of the checks.
pub(crate) struct Checks {
    plans: watch::Sender<Arc<Plan>>,
    thread: thread::JoinHandle<()>,
}

impl Checks {
    /// Starts it.
    pub(crate) fn start(
        plan: Arc<Plan>,
        epoch: Epoch,
        clients: Arc<ConnectionLimiter>,
    ) -> io::Result<Self> {
        let (plans, mut later) = watch::channel(plan);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let plan = Arc::clone(&later.borrow_and_update());
                    let limits = Cell::new(plan.limits);
                    let (kept, prober) = (KeptConnections::new(clients), Prober::default());
                    let checker = Rc::new(Checker { limits, epoch, kept, prober });
                    let mut watches = HashMap::new();
                    checker.adopt(&plan, &mut watches);
                    drop(plan);
                    while later.changed().await.is_ok() {
                        let plan = Arc::clone(&later.borrow_and_update());
                        checker.adopt(&plan, &mut watches);
                    }
                }),
                Err(error) => log::error!("endpoints are not checked: {error}"),
            }
        };
        let thread = thread::Builder::new().name("checks".to_owned()).spawn(work)?;
        Ok(Self { plans, thread })
    }

    /// Checks the endpoints of another plan. Those that stay are not checked again for that.
    pub(crate) fn adopt(&self, plan: Arc<Plan>) {
        if self.plans.send(plan).is_err() {
            log::error!("endpoints are not checked any more: the checks have ended");
        }
    }

    /// Ends it.
    pub(crate) fn end(self) {
        drop(self.plans);
        let deadline = Instant::now() + END_LIMIT;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                return log::error!("the checks are stuck: ending without them");
            }
            thread::sleep(PAUSE);
        }
        if self.thread.join().is_err() {
            log::error!("the checks panicked");
        }
    }
}

impl Checker {
    fn adopt(self: &Rc<Self>, plan: &Plan, watches: &mut HashMap<CheckSpec, RunningCheck>) {
        self.limits.set(plan.limits);
        let mut specs = self.specs(plan);
        watches.retain(|spec, watch| {
            let targets = specs.remove(spec);
            let stays = targets.is_some();
            match targets {
                Some(targets) => drop(watch.targets.replace(targets)),
                None => watch.task.abort(),
            }
            stays
        });
        let count = u32::try_from(specs.len()).unwrap_or(u32::MAX).max(1);
        for (place, (spec, targets)) in (0..).zip(specs) {
            let targets = Rc::new(RefCell::new(targets));
            // Spread over the first interval, so that the endpoints are not all asked at once.
            let delay = spec.check.interval / count * place;
            let (traits, of) = (spec.clone(), Rc::clone(&targets));
            let task = spawn_local(Rc::clone(self).watch(traits, of, delay));
            watches.insert(spec, RunningCheck { targets, task });
        }
    }

    fn specs(&self, plan: &Plan) -> HashMap<CheckSpec, Vec<CheckTarget>> {
        let mut specs: HashMap<CheckSpec, Vec<CheckTarget>> = HashMap::new();
        let of_routes = hosts_of_routes(plan);
        for (id, upstream) in (0..).map(UpstreamId::new).zip(&plan.upstreams) {
            let own = upstream.host_header.as_deref().or(of_routes[id.index()]);
            let host = own.or(upstream.usual_host.as_deref());
            let check = Arc::new(upstream.check.clone());
            for (endpoint, known) in upstream.endpoints.ids() {
                if check.kind == CheckKind::Off {
                    judge::forget(upstream, endpoint, self.now());
                    continue;
                }
                let spec = CheckSpec {
                    address: asked_at(&known.address, &check),
                    traffic: upstream.traffic,
                    announces: upstream.announces.filter(|_| check.is_of_requests()),
                    kind: known.connection_kind(),
                    check: Arc::clone(&check),
                    host: check.host.as_deref().or(host).map(str::to_owned),
                };
                let subject = CheckTarget { upstream: Arc::clone(upstream), endpoint };
                specs.entry(spec).or_default().push(subject);
            }
        }
        specs
    }

    fn now(&self) -> Tick {
        self.epoch.tick(Instant::now())
    }

    async fn watch(
        self: Rc<Self>,
        spec: CheckSpec,
        targets: Rc<RefCell<Vec<CheckTarget>>>,
        delay: Duration,
    ) {
        let Check { interval, timeout, rise, fall, .. } = *spec.check;
        let mut timer = pin!(sleep_until(on_beat(self.epoch, Instant::now() + delay, interval)));
        timer.as_mut().await;
        let mut rise_fall = RiseFall::new(rise, fall)
            .starting_at(judge::found_before(&targets.borrow(), self.now()));
        let (mut kept, mut proof) = (None, Proof::default());
        loop {
            let begun = Instant::now();
            let now = self.epoch.tick(begun);
            let asked = targets.borrow().first().cloned();
            let Some(asked) = asked else { return };
            let is_proven = spec.is_proven_by_requests()
                && proof.advance(&targets.borrow(), now)
                && rise_fall.verdict() == CheckVerdict::Up;
            if is_proven {
                judge::count(&targets.borrow(), CheckOutcome::Proven);
                rise_fall.record(true);
            } else {
                // What is held against it may be that it accepts no connection: only a new one tells.
                let is_healthy = rise_fall.verdict() == CheckVerdict::Up
                    && proof::are_healthy(&targets.borrow(), now);
                kept = kept.filter(|_| is_healthy);
                let late = Cell::new(Fault::upstream(Stage::Connect, Kind::TimedOut));
                let asking = pin!(self.once(&spec, asked.endpoint(), &late, &mut kept));
                timer.as_mut().reset(begun + timeout);
                let result = within(timer.as_mut(), asking).await;
                let result = result.unwrap_or_else(|Elapsed| Err(late.get().into()));
                judge::report(&targets.borrow(), &mut rise_fall, result, self.now());
            }
            timer.as_mut().reset(on_beat(self.epoch, begun + jittered(interval), interval));
            pause(timer.as_mut(), &mut kept).await;
        }
    }

    /// Asks over the connection of the check before; `None` if that has just been closed, which says nothing.
    async fn again(
        &self,
        spec: &CheckSpec,
        mut connection: KeptConnection,
        late: &Cell<Fault>,
        kept: &mut Option<KeptConnection>,
    ) -> Option<Result<(), CheckFailure>> {
        let (CheckKind::Http(asked) | CheckKind::Https(asked)) = &spec.check.kind else {
            return None;
        };
        late.set(Fault::upstream(Stage::ResponseHead, Kind::TimedOut));
        let KeptConnection { stream, request, .. } = &mut connection;
        let (limits, of) = (self.limits.get(), (late, spec.connection_after()));
        let after = match h1::ask(stream, (asked, request), &limits, of).await {
            Ok(after) => after,
            Err(CheckFailure {
                fault: Fault { kind: Kind::Closed | Kind::Reset | Kind::Broken, .. },
                ..
            }) => {
                late.set(Fault::upstream(Stage::Connect, Kind::TimedOut));
                return None;
            }
            Err(failure) => return Some(Err(failure)),
        };
        if after == CheckConnection::Kept {
            *kept = self.kept.keep_on(connection);
        }
        Some(Ok(()))
    }

    /// Asks once. `late` says what is wrong if it takes any longer.
    async fn once(
        &self,
        spec: &CheckSpec,
        asked: &Endpoint,
        late: &Cell<Fault>,
        kept: &mut Option<KeptConnection>,
    ) -> Result<(), CheckFailure> {
        if let Some(connection) = kept.take().filter(KeptConnection::is_quiet)
            && let Some(outcome) = self.again(spec, connection, late, kept).await
        {
            return outcome;
        }
        if let (Address::Tcp(address), None, None, true) =
            (&spec.address, spec.announces, &asked.tls, spec.only_connects())
        {
            return Ok(self.prober.probe(*address).await.map_err(|error| unconnected(&error))?);
        }
        // Boxed: it takes many times the memory of what is done for most checks, which should not lie far apart.
        Box::pin(self.over_another(spec, asked, late, kept)).await
    }

    /// Asks once, over a connection that is opened for it.
    async fn over_another(
        &self,
        spec: &CheckSpec,
        asked: &Endpoint,
        late: &Cell<Fault>,
        kept: &mut Option<KeptConnection>,
    ) -> Result<(), CheckFailure> {
        let CheckSpec { address, traffic, announces, check, .. } = spec;
        let fault = |stage| move |kind| Fault::upstream(stage, kind);
        let mut stream = connect(address).await.map_err(|error| unconnected(&error))?;
        let mut carried = 0;
        if let Some(version) = announces {
            let told = attempt::announce(*version, Header::Local, &mut stream).await;
            carried = told.map_err(|error| unconnected(&error))?;
        }
        // Of every check: an endpoint whose certificate is bad accepts connections, and would be taken back
        // again and again.
        if let Some(tls) = asked.tls.as_ref().filter(|_| spec.is_over_tls()) {
            late.set(fault(Stage::Connect)(Kind::Tls(TlsFault::TimedOut)));
            stream = secure(stream, carried, (asked, tls), None).await?;
        }
        let question = match (&check.kind, traffic) {
            (CheckKind::Http(asked) | CheckKind::Https(asked), Traffic::Http) => {
                Question::Request(asked)
            }
            (CheckKind::Grpc(service), Traffic::Http) => Question::Health(service, check.timeout),
            (CheckKind::Tcp | CheckKind::Off, _) | (_, Traffic::Tcp) => return Ok(()),
        };
        let host = spec.host_of(asked);
        late.set(fault(Stage::ResponseHead)(Kind::TimedOut));
        let limits = self.limits.get();
        match (spec.protocol(asked), question) {
            (AppProtocol::Http1, Question::Request(request)) => {
                let after = if self.kept.has_room() {
                    spec.connection_after()
                } else {
                    CheckConnection::Closed
                };
                let text = h1::request(request, &host, after);
                let after = h1::ask(&mut stream, (request, &text), &limits, (late, after)).await?;
                *kept = (after == CheckConnection::Kept).then(|| self.kept.keep(stream, text));
                Ok(())
            }
            (AppProtocol::Http2, _) | (_, Question::Health(..)) => {
                let request = h2::CheckRequest { question, scheme: asked.scheme, authority: &host };
                h2::ask(&mut stream, &request, &limits, late).await
            }
        }
    }
}

/// Waits for the next check. What is kept for it is given up if descriptors run out meanwhile.
async fn pause<T>(mut timer: Pin<&mut Sleep>, kept: &mut Option<T>) {
    if kept.is_some() {
        tokio::select! {
            biased;
            () = timer.as_mut() => return,
            () = descriptors::asked() => *kept = None,
        }
    }
    timer.await;
}

fn unconnected(error: &io::Error) -> Fault {
    Fault::upstream(Stage::Connect, Kind::of(error)).caused_by(error)
}

/// Does `work` until it ends or the time has come.
fn within<T>(
    mut time: Pin<&mut Sleep>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Elapsed>> {
    poll_fn(move |cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        // Unconstrained: an answer that never pauses must not keep the clock from being looked at.
        Poll::Pending => pin!(unconstrained(time.as_mut())).poll(cx).map(|()| Err(Elapsed)),
    })
}

/// The interval less or more up to a tenth, so that many balancers do not fall into step.
fn jittered(interval: Duration) -> Duration {
    let [random, ..] = RandomState::new().hash_one(0).to_le_bytes();
    interval * 9 / 10 + interval / 5 * u32::from(random) / u32::from(u8::MAX)
}

/// The beat that is nearest to a moment: a hundredth of the interval, which has ten times as much jitter.
fn on_beat(epoch: Epoch, at: Instant, interval: Duration) -> Instant {
    let beat = (interval / 100).min(BEAT_MAX);
    let middle = at + beat / 2;
    let past = epoch.since_begin(middle).as_nanos() % beat.as_nanos().max(1);
    middle - Duration::from_nanos(u64::try_from(past).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_begin_at_the_nearest_beat() {
        let (epoch, first) = (Epoch::begin(), Instant::now() + Duration::from_secs(1));
        for (interval, beat) in [(10, 100), (500, 5000), (1000, 10_000), (60_000, 10_000)] {
            for after in (0..30_000).step_by(700) {
                let at = first + Duration::from_micros(after);
                let begins = on_beat(epoch, at, Duration::from_millis(interval));
                assert_eq!(epoch.since_begin(begins).as_nanos() % (beat * 1000), 0);
                let moved = begins.max(at) - begins.min(at);
                assert!(moved.as_nanos() <= beat * 500, "{interval} {after}: {moved:?}");
            }
        }
    }

    async fn once(mut work: Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_for_the_next_check_is_given_up_where_descriptors_are_short() {
        let (begun, connection) = (Instant::now(), Rc::new(()));
        let weak = Rc::downgrade(&connection);
        let (mut timer, mut kept) = (pin!(sleep_until(begun + BEAT_MAX)), Some(connection));
        let mut pausing = pin!(pause(timer.as_mut(), &mut kept));
        assert!(once(pausing.as_mut()).await.is_pending());
        descriptors::ask();
        assert!(once(pausing.as_mut()).await.is_pending());
        assert!(weak.upgrade().is_none());
        pausing.await;
        assert_eq!(begun.elapsed(), BEAT_MAX);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(1));
            assert!((900..=1100).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
