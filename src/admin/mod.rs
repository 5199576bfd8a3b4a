//! The admin listener: serves metrics, status and health, and takes commands, on its own thread.

mod access;
mod ceiling_metrics;
mod endpoint_commands;
mod endpoint_metrics;
mod exposition;
mod http;
mod limit_metrics;
mod log_metrics;
mod machine;
mod metrics;
mod mirror_metrics;
pub mod probe;
mod process_metrics;
mod state;
mod status;
mod traffic_status;
mod upstream_status;

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::umask;
use socket2::Socket;
use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::config::admin::Token;
use crate::control::inbox::{ControlCommand, Inbox, Reload, Reloaded};
use crate::control::listeners::{InheritedListener, LentListener};
use crate::control::start_error::StartError;
use crate::control::state::{ControlState, ServingPhase};
use crate::log::once_per_second::OncePerSecond;
use crate::net::deadline::Timer;
use crate::net::limiter::{Capacity, ConnectionLimiter};
use crate::net::listen::{self, Incoming, ListeningSocket};
use crate::net::socket_file::SocketFile;
use crate::net::stream::Stream;
use access::Guard;
use endpoint_commands::EndpointCommand;
use http::{AdminAnswer, AdminExchange, AdminRequest, ClientGone, Verb};

/// The most concurrent connections; more wait in the kernel's queue.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("is not 0");

/// How long a connection may be used for requests. While more than half of [`CONNECTIONS_MAX`] are
/// open, each is closed after one request.
const STAY_MAX: Duration = Duration::from_secs(60);

static ACCEPT_WARNINGS: OncePerSecond = OncePerSecond::new();

/// How long to wait for the result of a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause after an error from accepting.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What there is, for who has mistyped it.
const NOT_FOUND: &str = "not found: there are /, /healthz, /readyz, /metrics, /status, POST /reload and \
    POST /upstreams/NAME/endpoints/ADDR/drain, down or ready\n";

const PAGE: &str = include_str!("page.html");

/// The page loads nothing from other sites and sends nothing to them.
const PAGE_POLICY: &str = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
                           script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

/// The bound listener, not yet serving.
pub(crate) struct BoundAdmin {
    configured: Address,
    address: Address,
    socket: Socket,
    /// The file of a Unix socket.
    file: Option<SocketFile>,
    /// Whether this process has bound the address; otherwise another one continues if this one fails.
    is_fresh: bool,
    token: Option<Token>,
}

/// The serving listener, closed when dropped: only after a drain, so that the drain can be observed.
pub(crate) struct AdminListener {
    configured: Address,
    bound: Address,
    socket: Socket,
    /// The file of a Unix socket, unless another process has taken it over.
    file: Option<SocketFile>,
    /// Its thread stops when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl AdminListener {
    /// Binds the listener, unless another process has handed it over. A Unix socket is accessible only
    /// to its owner.
    pub(crate) fn bind(
        address: &Address,
        left: Option<InheritedListener>,
        token: Option<Token>,
    ) -> Result<BoundAdmin, StartError> {
        let fault = |error| StartError::binding(address, error);
        // Set before the socket exists, so that it is never accessible to others.
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let left = left.filter(|left| left.configured == *address);
        let is_fresh = left.is_none();
        let bound = left.map_or_else(|| listen::bind(address, 1), |left| left.for_workers(1));
        umask(before);
        let mut bound = bound.map_err(fault)?;
        let socket = bound.sockets.pop().ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?;
        let (configured, listen::Bound { address, file, .. }) = (address.clone(), bound);
        Ok(BoundAdmin { configured, address, socket, file, is_fresh, token })
    }

    /// The bound address.
    pub(crate) fn address(&self) -> &Address {
        &self.bound
    }

    /// Lends the listener to another process.
    pub(crate) fn lend(&self) -> LentListener<'_> {
        let Self { configured, bound, socket, .. } = self;
        LentListener { configured, bound, socket: socket.as_fd() }
    }

    /// Leaves the listener to another process if that has taken it over; otherwise closes it.
    pub(crate) fn leave(mut self, addresses: &[String]) {
        if addresses.contains(&self.bound.to_string()) {
            self.file = None;
        } else {
            let bound = &self.bound;
            log::warn!("the admin listener on {bound} has ended: it was not taken over");
        }
    }
}

impl BoundAdmin {
    /// Removes the socket's file after a failed start.
    pub(crate) fn abandon(&self) {
        self.file.iter().filter(|_| self.is_fresh).for_each(SocketFile::remove);
    }

    /// The bound address.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Starts serving.
    pub(crate) fn open(
        self,
        control_state: Arc<ControlState>,
        control: Arc<Inbox>,
    ) -> io::Result<AdminListener> {
        let Self { configured, address, socket, file, token, is_fresh: _ } = self;
        let (lent, (stop, stopped)) = (socket.try_clone()?, oneshot::channel());
        let work = move || {
            let service = AdminService { guard: Guard::new(token), control_state, control };
            if let Err(error) = run(socket, service, stopped) {
                log::error!("the admin listener has ended: {error}");
            }
        };
        thread::Builder::new().name("admin".to_owned()).spawn(work)?;
        log::info!("admin on {address}");
        Ok(AdminListener { configured, bound: address, socket: lent, file, _stop: stop })
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.file.iter().for_each(SocketFile::remove);
    }
}

fn run(socket: Socket, service: AdminService, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default())?.block_on(async {
        let listener = ListeningSocket::register(socket)?;
        tokio::select! {
            () = accept(&listener, Rc::new(service)) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(listener: &ListeningSocket, service: Rc<AdminService>) {
    let limiter =
        ConnectionLimiter::new(Capacity { connections_max: CONNECTIONS_MAX, per_client_max: None });
    loop {
        let permit = limiter.enter().await;
        match listener.accept().await.and_then(Incoming::register) {
            Ok((stream, _)) => {
                let (service, limiter) = (Rc::clone(&service), Arc::clone(&limiter));
                spawn_local(async move {
                    // Why a client disconnects does not matter.
                    let _ = service.serve(stream, &limiter).await;
                    drop(permit);
                });
            }
            Err(error) => {
                if let Some(before) = ACCEPT_WARNINGS.permits(Instant::now()) {
                    log::warn!("the admin listener cannot accept: {error} ({before} times before)");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Handles requests.
struct AdminService {
    guard: Guard,
    control_state: Arc<ControlState>,
    control: Arc<Inbox>,
}

impl AdminService {
    async fn serve(
        &self,
        mut stream: Stream,
        limiter: &ConnectionLimiter,
    ) -> Result<(), ClientGone> {
        let began = Instant::now();
        let mut exchange = AdminExchange::new(&mut stream);
        // Bounded, so that no client blocks the others by staying connected.
        while began.elapsed() < STAY_MAX {
            let request = exchange.request().await?;
            let answer = match self.guard.check(&request) {
                Ok(()) => self.answer(&request, &mut exchange.timer).await,
                Err(refusal) => refusal,
            };
            exchange.answer(&request, &answer).await?;
            if limiter.open() > CONNECTIONS_MAX.get() / 2 {
                break;
            }
        }
        Ok(())
    }

    async fn answer(&self, request: &AdminRequest, timer: &mut Timer) -> AdminAnswer {
        let command = EndpointCommand::of(&request.path);
        match (request.path.as_str(), request.verb) {
            ("/", Verb::Get) => {
                AdminAnswer::of_kind("text/html; charset=utf-8", PAGE).with(PAGE_POLICY)
            }
            ("/healthz", Verb::Get) => AdminAnswer::text(200, "ok\n"),
            ("/readyz", Verb::Get) => match self.control_state.facts().phase {
                ServingPhase::Serving => AdminAnswer::text(200, "ready\n"),
                ServingPhase::Draining => AdminAnswer::text(503, "draining\n"),
            },
            ("/metrics", Verb::Get) => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                AdminAnswer::of_kind(kind, metrics::write(&self.control_state))
            }
            ("/status", Verb::Get) => match status::write(&self.control_state) {
                Ok(text) => AdminAnswer::of_kind("application/json", text),
                Err(error) => AdminAnswer::text(500, format!("{error}\n")),
            },
            ("/reload", Verb::Post) => self.reload(&request.query, timer).await,
            ("/" | "/healthz" | "/readyz" | "/metrics" | "/status", _) => {
                AdminAnswer::text(405, "only GET\n").with("Allow: GET, HEAD\r\n")
            }
            ("/reload", _) => AdminAnswer::text(405, "only POST\n").with("Allow: POST\r\n"),
            _ => match (command, request.verb) {
                (Some(command), Verb::Post) => command.follow(&self.control_state),
                (Some(_), _) => AdminAnswer::text(405, "only POST\n").with("Allow: POST\r\n"),
                (None, _) => AdminAnswer::text(404, NOT_FOUND),
            },
        }
    }

    /// Asks the control thread for a reload and waits for the result.
    async fn reload(&self, query: &str, timer: &mut Timer) -> AdminAnswer {
        let reload = match query {
            "" | "dry_run=0" => Reload::Follow,
            "dry_run=1" => Reload::Preview,
            _ => return AdminAnswer::text(400, "invalid query: expected dry_run=1 or nothing\n"),
        };
        let (sender, outcome) = oneshot::channel();
        if self.control.request(ControlCommand::ReloadFor(reload, sender)).is_err() {
            return AdminAnswer::text(503, "too many commands are pending\n");
        }
        let lines =
            |lines: Vec<String>| lines.iter().fold(String::new(), |all, line| all + line + "\n");
        match timer.within(RELOAD_TIMEOUT, outcome).await {
            Ok(Ok(Ok(Reloaded { mut changes, warnings }))) => {
                if changes.is_empty() {
                    changes.push("nothing has changed".to_owned());
                }
                changes.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
                AdminAnswer::text(200, lines(changes))
            }
            Ok(Ok(Err(reasons))) => AdminAnswer::text(422, lines(reasons)),
            Ok(Err(_)) => AdminAnswer::text(503, "shutting down\n"),
            Err(_) => AdminAnswer::text(503, "no result yet: see /status\n"),
        }
    }
}
