//! The admin listener: a thread of its own, that answers what is asked of a balancer at work and
//! takes commands for endpoints.

mod access;
mod endpoint_commands;
mod exposition;
mod http;
mod machine;
mod metrics;
mod state;
mod status;

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
use crate::control::inbox::{ControlCommand, Inbox, Reload};
use crate::control::listeners::{InheritedListener, LentListener, remove_socket_files};
use crate::control::start_error::StartError;
use crate::control::state::{ControlState, ServingPhase};
use crate::net::deadline::Timer;
use crate::net::limiter::{Capacity, ConnectionLimiter};
use crate::net::listen::{self, ListeningSocket};
use crate::net::stream::Stream;
use access::Guard;
use endpoint_commands::EndpointCommand;
use http::{AdminAnswer, AdminExchange, AdminRequest, ClientGone, Verb};

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("is not 0");

/// How long a connection may go on with requests; while more than half of those there may be are open,
/// each is for one request only.
const STAY_MAX: Duration = Duration::from_secs(60);

/// For a reload to be carried out.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// After a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PAGE: &str = include_str!("page.html");

/// Nothing from elsewhere, and nowhere else to go.
const PAGE_POLICY: &str = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
                           script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

/// The listener, bound.
pub(crate) struct Bound {
    configured: Address,
    address: Address,
    socket: Socket,
    file: File,
    token: Option<Token>,
}

/// The listener, open until this is dropped: after a drain, so that it can be watched.
pub(crate) struct Admin {
    configured: Address,
    bound: Address,
    socket: Socket,
    file: File,
    /// Its thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

/// Whose the file of a unix socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    /// Of this process.
    Ours,
    /// Of the one that goes on.
    Theirs,
}

impl Admin {
    /// Binds it, unless another process has left it; a unix socket is for its owner only.
    pub(crate) fn bind(
        address: &Address,
        left: Option<InheritedListener>,
        token: Option<Token>,
    ) -> Result<Bound, StartError> {
        let fault = |error| StartError::Bind(address.clone(), error);
        // Before it is there, so that nobody gets in between.
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let (bound, file) = match left.filter(|left| left.configured == *address) {
            Some(left) => (left.for_workers(1), File::Theirs),
            None => (listen::bind(address, 1), File::Ours),
        };
        umask(before);
        let mut bound = bound.map_err(fault)?;
        let socket = bound.sockets.pop().ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?;
        let configured = address.clone();
        Ok(Bound { configured, address: bound.address, socket, file, token })
    }

    /// For another process to go on with.
    pub(crate) fn lend(&self) -> LentListener<'_> {
        let Self { configured, bound, socket, .. } = self;
        LentListener { configured, bound, socket: socket.as_fd() }
    }

    /// Leaves it to another process, if that answers there; else nobody does from now on.
    pub(crate) fn leave(mut self, addresses: &[String]) {
        if addresses.contains(&self.bound.to_string()) {
            self.file = File::Theirs;
        } else {
            let bound = &self.bound;
            log::warn!("the admin listener on {bound} has ended: it was not taken over");
        }
    }
}

impl Bound {
    /// Leaves nothing behind where nothing comes of it.
    pub(crate) fn abandon(&self) {
        let ours = self.file == File::Ours;
        remove_socket_files(ours.then_some(&self.address).into_iter());
    }

    /// Where that is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Starts to answer.
    pub(crate) fn open(
        self,
        control_state: Arc<ControlState>,
        control: Arc<Inbox>,
    ) -> io::Result<Admin> {
        let Self { configured, address, socket, token, .. } = self;
        let (lent, (stop, stopped)) = (socket.try_clone()?, oneshot::channel());
        let work = move || {
            let desk = Desk { guard: Guard::new(token), control_state, control };
            if let Err(error) = run(socket, desk, stopped) {
                log::error!("the admin listener has ended: {error}");
            }
        };
        thread::Builder::new().name("admin".to_owned()).spawn(work)?;
        log::info!("admin on {address}");
        Ok(Admin { configured, bound: address, socket: lent, file: File::Ours, _stop: stop })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let ours = self.file == File::Ours;
        remove_socket_files(ours.then_some(&self.bound).into_iter());
    }
}

fn run(socket: Socket, desk: Desk, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default())?.block_on(async {
        let listener = ListeningSocket::register(socket)?;
        tokio::select! {
            () = accept(&listener, Rc::new(desk)) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(listener: &ListeningSocket, desk: Rc<Desk>) {
    let limiter =
        ConnectionLimiter::new(Capacity { connections_max: CONNECTIONS_MAX, per_client_max: None });
    loop {
        let permit = limiter.enter().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (desk, limiter) = (Rc::clone(&desk), Arc::clone(&limiter));
                spawn_local(async move {
                    // Why a client left is of no interest.
                    let _ = desk.serve(stream, &limiter).await;
                    drop(permit);
                });
            }
            Err(error) => {
                log::warn!("the admin listener cannot accept: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What answers are made of.
struct Desk {
    guard: Guard,
    control_state: Arc<ControlState>,
    control: Arc<Inbox>,
}

impl Desk {
    async fn serve(
        &self,
        mut stream: Stream,
        limiter: &ConnectionLimiter,
    ) -> Result<(), ClientGone> {
        let began = Instant::now();
        let mut exchange = AdminExchange::new(&mut stream);
        // Nobody keeps others out by staying.
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
                (None, _) => AdminAnswer::text(404, "not here\n"),
            },
        }
    }

    /// Has the control thread do it: that is where reloads are done.
    async fn reload(&self, query: &str, timer: &mut Timer) -> AdminAnswer {
        let reload = match query {
            "" | "dry_run=0" => Reload::Follow,
            "dry_run=1" => Reload::Preview,
            _ => return AdminAnswer::text(400, "the query may be dry_run=1, and nothing else\n"),
        };
        let (sender, outcome) = oneshot::channel();
        if self.control.request(ControlCommand::ReloadFor(reload, sender)).is_err() {
            return AdminAnswer::text(503, "too much is asked for already\n");
        }
        let lines =
            |lines: Vec<String>| lines.iter().fold(String::new(), |all, line| all + line + "\n");
        match timer.within(RELOAD_TIMEOUT, outcome).await {
            Ok(Ok(Ok(changes))) if changes.is_empty() => {
                AdminAnswer::text(200, "nothing is different\n")
            }
            Ok(Ok(Ok(changes))) => AdminAnswer::text(200, lines(changes)),
            Ok(Ok(Err(reasons))) => AdminAnswer::text(422, lines(reasons)),
            Ok(Err(_)) => AdminAnswer::text(503, "ending\n"),
            Err(_) => AdminAnswer::text(503, "no answer yet: /status will have it\n"),
        }
    }
}
