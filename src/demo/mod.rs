//! `evener demo`: three origins behind a balancer, and a live line with the requests each has received.

mod answer_spec;
pub mod certificate;
pub mod origin;
mod origin_h2;
mod traffic;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::net::TcpListener;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::address::Address;
use crate::config::Config;
use crate::config::tool_flags::DEFAULT_ADMIN;
use crate::control::running::Running;
use crate::control::signals::Signals;
use crate::control::start_error::StartError;
use crate::control::workers::rules_worker;
use crate::control::{self, RunOptions, Started, Upgrade};
use crate::metrics::Metrics;
use crate::plan::Plan;

/// The route and the name of each demo origin.
const ORIGINS: [(&str, &str); 3] = [("/auth", "auth-1"), ("/auth", "auth-2"), ("/task", "task-1")];

/// How often the live line is refreshed.
const REFRESH: Duration = Duration::from_millis(500);

/// Starts the demo's origins and returns the `--route` values for them.
pub fn origins() -> Result<Vec<String>, StartError> {
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let mut routes: Vec<(&str, String)> = Vec::new();
    for (prefix, name) in ORIGINS {
        let address = origin::start(&any, name, NonZeroUsize::MIN, None)
            .map_err(|error| StartError::binding(&any, error))?;
        match routes.iter_mut().find(|(known, _)| *known == prefix) {
            Some((_, endpoints)) => {
                let _ = write!(endpoints, ",{address}");
            }
            None => routes.push((prefix, address.to_string())),
        }
    }
    Ok(routes.into_iter().map(|(prefix, endpoints)| format!("{prefix}={endpoints}")).collect())
}

/// What the demo shows besides its origins.
#[derive(Clone, Copy, Debug)]
pub struct DemoOptions {
    /// Whether it listens for TLS.
    pub is_tls: bool,
    /// How many requests per second it sends itself; none over TLS.
    pub rate: u16,
}

/// The address for the page if none is asked for: the one where `evener top` looks, or any if that is taken.
pub fn page_address() -> &'static str {
    if TcpListener::bind(DEFAULT_ADMIN).is_ok() { DEFAULT_ADMIN } else { "127.0.0.1:0" }
}

/// Runs the demo's balancer until a signal stops it.
pub fn run(
    config: Config,
    routes: &[String],
    options: DemoOptions,
    signals: Signals,
) -> Result<(), StartError> {
    let routes = routes.join(" \\\n         --route ");
    let started: Started = Box::new(move |running, admin| {
        let first = running.addresses().next();
        let at = first.map(ToString::to_string).unwrap_or_default();
        let page = admin.map(ToString::to_string).unwrap_or_default();
        let introduction = if options.is_tls { tls_introduction } else { introduction };
        print(&introduction(&at, &page, &routes));
        let watched = Watched::of(running);
        let spawned = thread::Builder::new().name("line".to_owned()).spawn(move || watched.watch());
        if let Err(error) = spawned {
            log::warn!("no live line: {error}");
        }
        if let (Some(Address::Tcp(first)), Some(rate), false) =
            (first, NonZeroU16::new(options.rate), options.is_tls)
            && let Err(error) = traffic::start(*first, rate)
        {
            log::warn!("no requests of its own: {error}");
        }
    });
    let around = RunOptions {
        identity: None,
        error_log: None,
        daemon: None,
        token: None,
        upgrade: Upgrade::Fresh,
        main: rules_worker(),
        signals,
        started: Some(started),
    };
    control::run(config, around)?;
    print("\n");
    Ok(())
}

fn introduction(at: &str, page: &str, routes: &str) -> String {
    format!(
        "Evener balances on http://{at} over three small origins.\n\
         See it live at http://{page}/ in a browser, or with `evener top --admin {page}`.\n\n\
         The same by hand:\n\n  \
         evener --listen {at} --admin {page} --threads 1 \\\n         --route {routes}\n\n\
         Try, in another terminal:\n\n  \
         curl http://{at}/auth              # auth-1 and auth-2 in turn\n  \
         curl http://{at}/task/echo         # the request as an endpoint receives it\n  \
         curl -i http://{at}/nope           # no route: 404\n  \
         curl --http2-prior-knowledge http://{at}/auth   # over HTTP/2\n  \
         wrk -t1 -c64 -d10 http://{at}/auth\n\n\
         Press Ctrl-C to stop. Requests so far:\n\n"
    )
}

fn tls_introduction(at: &str, page: &str, routes: &str) -> String {
    format!(
        "Evener balances on https://{at} over three small origins, with a certificate for\n\
         localhost that it has just made and signed itself: clients must be told to trust it, as with\n\
         curl -k. See it live at http://{page}/ in a browser, or with `evener top --admin {page}`.\n\n\
         The same by hand, with a certificate in files:\n\n  \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \\\n    \
         -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \\\n    \
         -keyout key.pem -out cert.pem\n  \
         evener --listen-tls {at} --cert cert.pem --key key.pem --admin {page} \\\n         --threads 1 \\\n         \
         --route {routes}\n\n\
         Try, in another terminal:\n\n  \
         curl -k https://{at}/auth          # auth-1 and auth-2 in turn\n  \
         curl -k https://{at}/task/echo     # the request as an endpoint receives it\n  \
         curl -kv https://{at}/auth         # version, cipher, certificate, and HTTP/2\n  \
         wrk -t1 -c64 -d10 https://{at}/auth\n\n\
         Press Ctrl-C to stop. Requests so far:\n\n"
    )
}

/// Prints and ignores errors: a terminal that has closed is no reason to stop balancing.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What the live line is about.
struct Watched {
    plan: Arc<Plan>,
    metrics: Vec<Arc<Metrics>>,
}

impl Watched {
    fn of(running: &Running) -> Self {
        Self { plan: Arc::clone(running.plan()), metrics: running.metrics.clone() }
    }

    /// Prints the line whenever it has changed, until the process exits.
    fn watch(&self) {
        let (mut drawn, mut before) = (String::new(), 0);
        let redraw = io::stdout().is_terminal();
        loop {
            let (line, total) = self.line(before);
            before = total;
            if line != drawn {
                let (start, end) = if redraw { ("\r\x1b[K", "") } else { ("", "\n") };
                print(&format!("{start}{line}{end}"));
                drawn = line;
            }
            thread::sleep(REFRESH);
        }
    }

    /// The live line, and the total number of requests so far; `before` was the previous total.
    fn line(&self, before: u64) -> (String, u64) {
        let endpoints = self.plan.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter());
        let counts = endpoints.map(|endpoint| endpoint.record.begun());
        let total: u64 = self.metrics.iter().map(|worker| worker.requests.get()).sum();
        let per_second = u128::from(total.saturating_sub(before)) * 1000 / REFRESH.as_millis();
        let mut line = String::from("  ");
        for ((_, name), count) in ORIGINS.iter().zip(counts) {
            let _ = write!(line, "{name} {count}   ");
        }
        let _ = write!(line, "({per_second} requests/s)");
        (line, total)
    }
}
