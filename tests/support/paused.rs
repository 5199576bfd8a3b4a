//! Sessions on a paused clock, which advances only while all tasks are idle: an hour passes at once.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evener::filters::rules::Rules;
use evener::id::ListenerId;
use evener::metrics::Metrics;
use evener::net::deadline::Epoch;
use evener::net::limiter::ConnectionPermit;
use evener::net::socket::Socket;
use evener::net::stream::Stream;
use evener::placement::WorkerPlace;
use evener::plan::context::WorkerContext;
use evener::plan::handle::PlanHandle;
use evener::plan::listener::{Listener, ListenerKind};
use evener::plan::shelves::Shelves;
use evener::session;
use evener::session::accepted::Accepted;
use evener::upstream::health::Admission;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::LocalOptions;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::{proxy, socket_path};

/// Longer than any timeout under test.
const END: Duration = Duration::from_secs(3 * 3600);

/// Runs `test` on its own runtime with a paused clock.
///
/// A paused clock jumps to the next timer even if bytes are on their way in the kernel, so a ticking
/// task keeps each jump small. `tick` must be far below what the test measures.
pub fn run(tick: Duration, test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(LocalOptions::default())
        .expect("a runtime");
    let ticking = async {
        let start = Instant::now();
        while start.elapsed() < END {
            sleep(tick).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = test => {}
            () = ticking => panic!("the test hangs"),
        }
    });
}

/// The context of a worker with these flags.
pub fn context(flags: &[&str]) -> Rc<WorkerContext> {
    let plan = proxy::config(flags).plan;
    let metrics = Arc::new(Metrics::new());
    WorkerContext::new(
        (plan, None),
        &Shelves::default(),
        metrics,
        None,
        WorkerPlace::apart(0),
        Epoch::begin(),
    )
}

/// Does from now on what a worker does for its sessions once a second.
pub fn begin_sweeps(context: &Rc<WorkerContext>) {
    let context = Rc::clone(context);
    context.note_sweep();
    spawn_local(async move {
        loop {
            sleep(Duration::from_secs(1)).await;
            context.note_sweep();
        }
    });
}

/// Whether the only endpoint is healthy.
pub fn is_open(context: &WorkerContext) -> bool {
    let health = context.plan.upstreams[0].endpoints[0].health();
    health.admission(context.tick(Instant::now())) == Admission::Open
}

/// A connection that has been accepted for requests.
pub fn accepted(context: &Rc<WorkerContext>, stream: UnixStream) -> Accepted<Rules> {
    accepted_for(ListenerKind::HTTP, context, stream)
}

/// A connection that has been accepted for this.
pub fn accepted_for(
    kind: ListenerKind,
    context: &Rc<WorkerContext>,
    stream: UnixStream,
) -> Accepted<Rules> {
    let handle = PlanHandle::new(Rc::clone(context));
    let listener = Listener::new(ListenerId::FIRST, kind, &handle, Arc::new(Rules));
    Accepted::new(Stream::Plain(Socket::Unix(stream)), None, ConnectionPermit::alone(), &listener)
}

/// A connection to a session of its own.
pub fn connect(context: &Rc<WorkerContext>) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    session::spawn(accepted(context, theirs));
    ours
}

/// An endpoint on a Unix socket, which is removed on drop.
pub struct Endpoint {
    pub path: PathBuf,
}

impl Endpoint {
    /// Serves every connection with `serve`, each in its own task.
    pub fn start<F: Future<Output = ()> + 'static>(
        name: &str,
        serve: impl Fn(UnixStream) -> F + 'static,
    ) -> Self {
        let path = socket_path(name);
        let listener = UnixListener::bind(&path).expect("bind");
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(serve(stream));
            }
        });
        Self { path }
    }

    /// The flag that routes every request here.
    pub fn route(&self) -> String {
        format!("--route=/=unix:{}", self.path.display())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers 200 with `ok` to every request.
pub async fn well(mut stream: UnixStream) {
    loop {
        until(&mut stream, "\r\n\r\n").await;
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    }
}

/// Sends bytes and ignores errors.
pub async fn send(stream: &mut UnixStream, bytes: &str) {
    let _ = stream.write_all(bytes.as_bytes()).await;
}

/// Reads until the text ends with `end`.
pub async fn until(stream: &mut UnixStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = stream.read_u8().await.unwrap_or_else(|_| panic!("{text:?} and then the end"));
        text.push(char::from(byte));
    }
    text
}

/// Reads until the connection is closed or reset.
pub async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
