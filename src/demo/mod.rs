//! `evener demo`: three origins behind a balancer, and a live line with the requests each has received.

mod answer_spec;
pub mod certificate;
pub mod origin;
mod origin_h2;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::address::Address;
use crate::config::Config;
use crate::control::running::{Running, start};
use crate::control::signals::Signals;
use crate::control::start_error::StartError;
use crate::control::workers::rules_worker;

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

/// Runs the demo's balancer, over TLS or not, until a signal stops it.
pub fn run(
    config: Config,
    routes: &[String],
    is_tls: bool,
    signals: &Signals,
) -> Result<(), StartError> {
    signals.attend();
    let running = start(config, rules_worker(), None, || Ok(()))?;
    let at = running.addresses().next().map(ToString::to_string).unwrap_or_default();
    let introduction = if is_tls { tls_introduction } else { introduction };
    print(&introduction(&at, &routes.join(" \\\n         --route ")));
    watch(&running, signals);
    print("\n");
    Ok(())
}

fn introduction(at: &str, routes: &str) -> String {
    format!(
        "Evener balances on http://{at} over three small origins. The same by hand:\n\n  \
         evener --listen {at} --threads 1 \\\n         --route {routes}\n\n\
         Try, in another terminal:\n\n  \
         curl http://{at}/auth              # auth-1 and auth-2 in turn\n  \
         curl http://{at}/task/echo         # the request as an endpoint receives it\n  \
         curl -i http://{at}/nope           # no route: 404\n  \
         curl --http2-prior-knowledge http://{at}/auth   # over HTTP/2\n  \
         wrk -t1 -c64 -d10 http://{at}/auth\n\n\
         Press Ctrl-C to stop. Requests so far:\n\n"
    )
}

fn tls_introduction(at: &str, routes: &str) -> String {
    format!(
        "Evener balances on https://{at} over three small origins, with a certificate for\n\
         localhost that it has just made and signed itself: clients must be told to trust it, as with\n\
         curl -k. The same by hand, with a certificate in files:\n\n  \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \\\n    \
         -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \\\n    \
         -keyout key.pem -out cert.pem\n  \
         evener --listen-tls {at} --cert cert.pem --key key.pem --threads 1 \\\n         \
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

fn watch(running: &Running, signals: &Signals) {
    let (mut drawn, mut before) = (String::new(), 0);
    let redraw = io::stdout().is_terminal();
    loop {
        let (line, total) = line(running, before);
        before = total;
        if line != drawn {
            let (start, end) = if redraw { ("\r\x1b[K", "") } else { ("", "\n") };
            print(&format!("{start}{line}{end}"));
            drawn = line;
        }
        if signals.wait(REFRESH) {
            return;
        }
    }
}

/// The live line, and the total number of requests so far; `before` was the previous total.
fn line(running: &Running, before: u64) -> (String, u64) {
    let endpoints = running.plan().upstreams.iter().flat_map(|upstream| upstream.endpoints.iter());
    let counts = endpoints.map(|endpoint| endpoint.record.begun());
    let total = running.metrics.iter().map(|worker| worker.requests.get()).sum();
    let per_second = u128::from(total - before) * 1000 / REFRESH.as_millis();
    let mut line = String::from("  ");
    for ((_, name), count) in ORIGINS.iter().zip(counts) {
        let _ = write!(line, "{name} {count}   ");
    }
    let _ = write!(line, "({per_second} requests/s)");
    (line, total)
}
