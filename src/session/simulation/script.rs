//! Whole sessions between peers that follow a script, in memory, on a clock that stands still while
//! anybody has work to do. The same script gives the same transcript.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::plan::plan;
use crate::address::Address;
use crate::drain::DrainPhase;
use crate::filters::rules::Rules;
use crate::id::ListenerId;
use crate::metrics::Metrics;
use crate::net::deadline::{Epoch, Timer};
use crate::net::limiter::ConnectionPermit;
use crate::net::listen::Peer;
use crate::net::memory::{self, Dialled, Memory, Passage, Transcript};
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::placement::WorkerPlace;
use crate::plan::ClientTimeouts;
use crate::plan::context::WorkerContext;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::{Listener, ListenerKind};
use crate::plan::shelves::Shelves;
use crate::session::accepted::Accepted;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_set::EndpointSet;

/// What a peer can wait for at a time, in tenths of a second: below, at and above every deadline.
const PAUSES: [u64; 8] = [1, 10, 45, 60, 99, 110, 310, 610];

/// More than any session takes, without the pauses of its script.
const END: Duration = Duration::from_secs(3 * 3600);

/// How long a client that has ended its direction is waited for.
pub const HALF_CLOSE: Duration = Duration::from_secs(5);

/// The address every client has.
pub const CLIENT: Peer = Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));

/// What a peer does next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Send(Vec<u8>),
    /// Waits until something has come since it last did.
    Await,
    Pause(Duration),
    /// Ends its direction.
    Finish,
    /// Stops reading, or begins again.
    Deafen(bool),
    /// Goes away.
    Close,
    Reset,
    /// As the first step of an origin: refuses the connection, or never answers.
    Refuse,
    Ignore,
}

/// What each side does. See [`Script::read`].
#[derive(Debug)]
pub struct Script {
    choices: u8,
    client: Vec<Step>,
    origins: VecDeque<Vec<Step>>,
}

impl Script {
    /// Reads a script: a byte of choices, then what the client sends. After 0xff comes a letter:
    /// `N` goes on with the next connection to an origin, `O` with the same, `C` with the client;
    /// `A` awaits bytes, `P` and a byte pauses, `S` splits, `F` finishes, `X` closes, `R` resets,
    /// `D` and `L` stop and go on listening, `!` refuses to connect, `?` never answers; 0xff is
    /// that byte.
    pub fn read(data: &[u8]) -> Self {
        let (choices, mut rest) =
            data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
        let mut script = Self { choices, client: Vec::new(), origins: VecDeque::new() };
        let mut at_client = true;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != 0xff {
                script.send(at_client, byte);
                continue;
            }
            let Some((&letter, after)) = rest.split_first() else { break };
            rest = after;
            match letter {
                b'C' => at_client = true,
                b'O' => at_client = script.origins.is_empty(),
                b'N' => {
                    at_client = false;
                    script.origins.push_back(Vec::new());
                }
                b'P' => {
                    let (choice, after) = rest.split_first().unwrap_or((&0, rest));
                    rest = after;
                    let tenths = PAUSES[usize::from(*choice) % PAUSES.len()];
                    script.push(at_client, Step::Pause(Duration::from_millis(100 * tenths)));
                }
                b'S' => script.push(at_client, Step::Send(Vec::new())),
                b'A' => script.push(at_client, Step::Await),
                b'F' => script.push(at_client, Step::Finish),
                b'X' => script.push(at_client, Step::Close),
                b'R' => script.push(at_client, Step::Reset),
                b'D' => script.push(at_client, Step::Deafen(true)),
                b'L' => script.push(at_client, Step::Deafen(false)),
                b'!' => script.push(at_client, Step::Refuse),
                b'?' => script.push(at_client, Step::Ignore),
                0xff => script.send(at_client, 0xff),
                _ => {}
            }
        }
        script
    }

    fn steps(&mut self, at_client: bool) -> &mut Vec<Step> {
        match self.origins.back_mut() {
            Some(origin) if !at_client => origin,
            _ => &mut self.client,
        }
    }

    fn push(&mut self, at_client: bool, step: Step) {
        self.steps(at_client).push(step);
    }

    fn send(&mut self, at_client: bool, byte: u8) {
        let steps = self.steps(at_client);
        match steps.last_mut() {
            Some(Step::Send(bytes)) => bytes.push(byte),
            _ => steps.push(Step::Send(vec![byte])),
        }
    }

    fn pauses(&self) -> Duration {
        let steps = self.origins.iter().flatten().chain(&self.client);
        steps
            .map(|step| if let Step::Pause(length) = step { *length } else { Duration::ZERO })
            .sum()
    }

    /// How much a connection holds: little makes writes partial.
    fn capacity(&self) -> usize {
        if self.choices & 1 == 0 { 64 * 1024 } else { 48 }
    }

    fn endpoints(&self) -> u16 {
        1 + u16::from(self.choices >> 1 & 1)
    }

    fn drains(&self) -> bool {
        self.choices >> 2 & 1 == 1
    }

    fn trusts(&self) -> bool {
        self.choices >> 3 & 1 == 1
    }

    /// What sessions of this script work with.
    pub fn context(&self) -> Rc<WorkerContext> {
        let endpoint = |port| {
            let address = Address::Tcp(([192, 0, 2, 1], port).into());
            Endpoint::new(address, NonZeroU16::MIN, 1)
        };
        let mut upstream = Upstream::sample(EndpointSet::new((1..=self.endpoints()).map(endpoint)));
        upstream.timeouts.connect = Duration::from_secs(5);
        upstream.keeping.idle_max = 4;
        let timeouts = ClientTimeouts {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            keepalive: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            half_close: HALF_CLOSE,
        };
        let mut plan = plan(upstream, timeouts);
        if self.trusts() {
            plan.trusted.networks.push("192.0.2.0/24".parse().expect("one"));
        }
        let metrics = Arc::new(Metrics::new());
        WorkerContext::new(
            (Arc::new(plan), None),
            &Shelves::default(),
            metrics,
            None,
            WorkerPlace::apart(0),
            Epoch::begin(),
        )
    }
}

/// What came of a script.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the client sent and got.
    pub client: Exchanged,
    /// What each connection to an origin got and sent, in the order they were opened.
    pub origins: Vec<Exchanged>,
    /// How long the session went on after the last step of any peer.
    pub quiet: Duration,
    /// Whether a drain began meanwhile.
    pub drains: bool,
    /// How long the session went on after the client had ended its direction, if it did.
    pub after_finish: Option<Duration>,
    /// How long it went on after the client had reset the connection, if it did.
    pub after_reset: Option<Duration>,
}

/// What passed over a connection, towards the proxy and back.
#[derive(Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// From the peer to the proxy.
    pub inward: Passage,
    /// From the proxy to the peer.
    pub outward: Passage,
}

impl Exchanged {
    fn of(peer: &Transcript) -> Self {
        Self { inward: peer.outgoing(), outward: peer.incoming() }
    }
}

/// Runs one session to its end.
///
/// # Panics
///
/// If the session panics, does not end, or is still counted when it has ended.
pub fn simulate(script: &mut Script) -> Outcome {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    let runtime = builder.build_local(LocalOptions::default()).expect("a runtime");
    let outcome = runtime.block_on(run(script));
    memory::install(|_| None);
    outcome
}

async fn run(script: &mut Script) -> Outcome {
    let opened: Rc<RefCell<Vec<Transcript>>> = Rc::default();
    let context = script.context();
    let (limit, capacity) = (END + script.pauses(), script.capacity());
    let (log, mut scripts) = (Rc::clone(&opened), std::mem::take(&mut script.origins));
    let moments = Rc::new(Moments::begin());
    let seen = Rc::clone(&moments);
    memory::install(move |_| answer_dial(scripts.pop_front(), capacity, &log, &seen));
    let (ours, theirs) = Memory::pair(capacity);
    let client = theirs.transcript();
    if script.drains() {
        let drain = Rc::clone(&context.drain);
        spawn_local(async move {
            sleep(Duration::from_secs(5)).await;
            drain.advance(DrainPhase::Draining);
            sleep(Duration::from_secs(1)).await;
            drain.advance(DrainPhase::Closing);
        });
    }
    let stream = Stream::Plain(Socket::Memory(ours));
    let handle = PlanHandle::new(Rc::clone(&context));
    let listener = Listener::new(ListenerId::FIRST, ListenerKind::HTTP, &handle, Arc::new(Rules));
    let permit = ConnectionPermit::alone();
    let session = crate::session::spawn(Accepted::new(stream, CLIENT, permit, &listener));
    let client_moments = Rc::new(Moments::begin());
    let steps = std::mem::take(&mut script.client);
    let playing = spawn_local(play(theirs, steps, Rc::clone(&client_moments)));
    let ended = Timer::new().within(limit, session).await.expect("a session ends");
    ended.expect("a session does not panic");
    assert_eq!(context.drain.sessions(), 0);
    playing.abort();
    let origins = opened.borrow().iter().map(Exchanged::of).collect();
    let since = |moment: &Cell<Option<Instant>>| moment.get().map(|moment| moment.elapsed());
    Outcome {
        client: Exchanged::of(&client),
        origins,
        quiet: moments.last.get().max(client_moments.last.get()).elapsed(),
        drains: script.drains(),
        after_finish: since(&client_moments.finished),
        after_reset: since(&client_moments.reset),
    }
}

/// When a peer did what matters to how long a session may go on.
struct Moments {
    /// Its last step.
    last: Cell<Instant>,
    finished: Cell<Option<Instant>>,
    reset: Cell<Option<Instant>>,
}

impl Moments {
    fn begin() -> Self {
        let last = Cell::new(Instant::now());
        Self { last, finished: Cell::new(None), reset: Cell::new(None) }
    }
}

fn answer_dial(
    script: Option<Vec<Step>>,
    capacity: usize,
    opened: &RefCell<Vec<Transcript>>,
    moments: &Rc<Moments>,
) -> Dialled {
    moments.last.set(Instant::now());
    let refused = || Some(Err(std::io::ErrorKind::ConnectionRefused.into()));
    match script {
        None => refused(),
        Some(steps) if steps.first() == Some(&Step::Refuse) => refused(),
        Some(steps) if steps.first() == Some(&Step::Ignore) => None,
        Some(steps) => {
            let (ours, theirs) = Memory::pair(capacity);
            opened.borrow_mut().push(theirs.transcript());
            spawn_local(play(theirs, steps, Rc::clone(moments)));
            Some(Ok(ours))
        }
    }
}

/// Does what the script says, reading beside it, and goes on reading after it.
async fn play(memory: Memory, steps: Vec<Step>, moments: Rc<Moments>) {
    let (is_deaf, arrivals, change) = (Cell::new(false), Cell::new(0_u64), Notify::new());
    let listening = async {
        loop {
            while is_deaf.get() {
                change.notified().await;
            }
            match memory.read().await {
                Ok(bytes) if !bytes.is_empty() => arrivals.set(arrivals.get() + 1),
                _ => {
                    arrivals.set(u64::MAX);
                    break;
                }
            }
            change.notify_waiters();
        }
        change.notify_waiters();
    };
    let acting = async {
        match act(&memory, steps, &is_deaf, &arrivals, &change, &moments).await {
            Goes::On => Ok(()),
            Goes::Away => Err(()),
        }
    };
    // A peer that goes away stops listening at once.
    let _ = tokio::try_join!(acting, async {
        listening.await;
        Ok(())
    });
}

/// Whether a peer stays when its script has ended.
enum Goes {
    On,
    Away,
}

async fn act(
    memory: &Memory,
    steps: Vec<Step>,
    is_deaf: &Cell<bool>,
    arrivals: &Cell<u64>,
    change: &Notify,
    moments: &Moments,
) -> Goes {
    let mut seen = 0;
    for step in steps {
        match step {
            // A proxy that takes no more is no matter.
            Step::Send(bytes) => drop(memory.write(&bytes).await),
            Step::Await => {
                while arrivals.get() <= seen && arrivals.get() != u64::MAX {
                    change.notified().await;
                }
                seen = arrivals.get();
            }
            Step::Pause(length) => sleep(length).await,
            Step::Finish => {
                memory.shutdown();
                moments.finished.set(Some(Instant::now()));
            }
            Step::Deafen(deaf) => {
                is_deaf.set(deaf);
                change.notify_waiters();
            }
            Step::Close => return Goes::Away,
            Step::Reset => {
                memory.set_reset_on_close(true);
                moments.reset.set(Some(Instant::now()));
                return Goes::Away;
            }
            Step::Refuse | Step::Ignore => {}
        }
        moments.last.set(Instant::now());
    }
    Goes::On
}
