//! What is typed: every flag as text, with its help. What it means is decided in the parent.

// Help is read in a terminal, where Markdown would only be in the way.
#![allow(clippy::doc_markdown, rustdoc::bare_urls, rustdoc::broken_intra_doc_links)]

use clap::{Arg, ArgAction, Args, Command, Parser, Subcommand};

/// Balances HTTP/1.1 over endpoints, by host and path prefix, and TCP connections as they are.
///
/// One thread per core, each with its own listening socket and its own connections to the
/// endpoints. Endpoints are checked every second, and one that fails requests is left out for a
/// while. Stop it with SIGTERM: what runs is finished first. SIGHUP reads the configuration anew,
/// SIGUSR1 opens the log files anew, SIGQUIT hands over to a process started with -u.
#[derive(Debug, Parser)]
#[command(
    name = "evener",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_help = "Example:\n  evener --listen 0.0.0.0:8080 --route /auth=10.0.0.1:80,10.0.0.2:80 \
                  --route /task=10.0.0.3:80@2,unix:/run/task.sock\n\nTry it: evener demo"
)]
pub struct Cli {
    /// Another job than balancing.
    #[command(subcommand)]
    pub job: Option<Job>,
    /// The flags of the balancer.
    #[command(flatten)]
    pub flags: Flags,
}

/// Jobs besides balancing.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Say which route, upstream and rules a request would take, and why
    ///
    /// Takes the flags of the balancer and its -c. Nothing is sent or bound.
    Explain(Box<ExplainFlags>),
    /// Run three small origins and a balancer in front of them, to try things out
    Demo(DemoFlags),
    /// Run one small, fast origin, for benchmarks and for trying things out
    ///
    /// It answers with its name; `?bytes=N` sizes the answer, `?status=N` and `?delay=100ms` do
    /// what they say, and /echo answers with the head of the request.
    Origin(OriginFlags),
}

/// The flags of `evener explain`.
#[derive(Debug, Args)]
pub struct ExplainFlags {
    /// The flags of the balancer.
    #[command(flatten)]
    pub flags: Flags,
    /// The host asked for, as in a Host field
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    pub host: String,
    /// The path asked for, with its query if it has one
    #[arg(value_name = "PATH")]
    pub path: String,
}

/// The flags of `evener demo`.
#[derive(Debug, Args)]
pub struct DemoFlags {
    /// Where the balancer listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,
}

/// The flags of `evener origin`.
#[derive(Debug, Args)]
pub struct OriginFlags {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub listen: String,
    /// What it calls itself
    #[arg(long, value_name = "NAME", default_value = "origin")]
    pub name: String,
    /// Threads; 0: one for each core this process may use
    #[arg(long, value_name = "N", default_value = "1")]
    pub threads: String,
}

/// The flags of the balancer, as they were typed.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that is there or not")]
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// File to read the configuration from, in YAML; flags win over it
    ///
    /// Each key is the name of a flag, with _ for -. `routes`, `upstreams` and `tcp` can say more
    /// than flags can: see docs/configuration.md.
    #[arg(short, long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<String>,
    /// Check flags and file, names included, say what would run, and exit: 0 or 2
    #[arg(short, long, help_heading = "Configuration")]
    pub test: bool,

    /// Where to listen for HTTP; repeatable [default: 127.0.0.1:8080]
    ///
    /// ip:port, [v6]:port, :port or unix:/path. With --tcp and without a route there is none.
    /// ADDR,proxy: connections begin with a PROXY protocol header (v1 or v2), of a --trusted proxy.
    #[arg(long, value_name = "ADDR", help_heading = "Listening")]
    pub listen: Vec<String>,
    /// Pass connections on as they are: LISTEN=ENDPOINT[@WEIGHT][,…]; repeatable
    ///
    /// For whatever is no HTTP: databases, TLS that ends elsewhere. Endpoints are chosen, checked
    /// (by connecting) and ejected as those of a route. --tunnel-timeout bounds idle connections.
    /// LISTEN,proxy=… and …,proxy=v2 as with --listen and --route.
    #[arg(long, value_name = "RELAY", help_heading = "Listening")]
    pub tcp: Vec<String>,
    /// Threads; 0: one for each core this process may use, cgroup quota included
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Listening")]
    pub threads: String,

    /// Where requests go: [HOST]PREFIX=ENDPOINT[@WEIGHT][,…]; repeatable
    ///
    /// The longest prefix wins. /auth takes /auth and /auth/… but not /authx; /img* takes all
    /// that begins so; / takes the rest. With a host (api.example.com/v1) it comes before every
    /// route without. An endpoint is ip:port, [v6]:port, name:port or unix:/path. Last may stand
    /// proxy=v1 or proxy=v2: connections begin with a PROXY protocol header, and are not shared.
    #[arg(long, value_name = "ROUTE", help_heading = "Routing")]
    pub route: Vec<String>,
    /// Host to send to endpoints [default: what the client sent]
    #[arg(long, value_name = "HOST", help_heading = "Routing")]
    pub host_header: Option<String>,
    /// Networks (or `unix`) whose X-Forwarded-* and Forwarded fields are kept, and whose PROXY
    /// headers are taken; repeatable
    /// [default: none]
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', help_heading = "Routing")]
    pub trusted: Vec<String>,

    /// To open a connection to an endpoint
    #[arg(long, value_name = "TIME", default_value = "3s", help_heading = "Timeouts")]
    pub connect_timeout: String,
    /// For a client to send the head of a request, however it drips
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Timeouts")]
    pub header_timeout: String,
    /// For a client to send its next request
    #[arg(long, value_name = "TIME", default_value = "75s", help_heading = "Timeouts")]
    pub keepalive_timeout: String,
    /// For a connection to an endpoint to lie idle
    #[arg(long, value_name = "TIME", default_value = "50s", help_heading = "Timeouts")]
    pub upstream_keepalive_timeout: String,
    /// For an endpoint to send the head of its response
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Timeouts")]
    pub response_timeout: String,
    /// Between two bytes of a body
    #[arg(long, value_name = "TIME", default_value = "60s", help_heading = "Timeouts")]
    pub idle_timeout: String,
    /// For something to pass on to a client that has ended its direction (half-close); 0 ends the
    /// exchange at once
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Timeouts")]
    pub half_close_timeout: String,
    /// Between two bytes of a tunnel (WebSocket and other upgrades)
    #[arg(long, value_name = "TIME", default_value = "1h", help_heading = "Timeouts")]
    pub tunnel_timeout: String,
    /// For what runs to be finished after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Timeouts")]
    pub drain_timeout: String,
    /// How long to go on accepting after SIGTERM, with /readyz 503, before what runs is finished
    ///
    /// For whatever sends connections to notice. Another signal ends the wait. 0s: not at all.
    #[arg(long, value_name = "TIME", default_value = "0s", help_heading = "Timeouts")]
    pub shutdown_delay: String,

    /// Longest head of a request or a response, 1k to 64k
    #[arg(long, value_name = "SIZE", default_value = "16k", help_heading = "Limits")]
    pub max_head: String,
    /// Most fields of a head, 1 to 256
    #[arg(long, value_name = "N", default_value = "100", help_heading = "Limits")]
    pub max_fields: String,
    /// Most client connections; more wait in the kernel's queue
    /// [default: what RLIMIT_NOFILE, raised to its hard limit, leaves room for]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections: Option<String>,
    /// Most connections of one client address; more are reset
    /// [default: no bound]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections_per_client: Option<String>,
    /// Most idle connections to an endpoint, per thread
    #[arg(long, value_name = "N", default_value = "512", help_heading = "Limits")]
    pub max_idle: String,

    /// Failures in a row that eject an endpoint, 1 to 255
    #[arg(long, value_name = "N", default_value = "3", help_heading = "Health")]
    pub max_fails: String,
    /// How long it stays out; doubles each time in a row, up to 60s
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Health")]
    pub fail_timeout: String,
    /// Count a response of 500-599 as a failure
    #[arg(long, help_heading = "Health")]
    pub fail_on_5xx: bool,
    /// How endpoints are checked: tcp, http:/path (200-399 is well) or off
    #[arg(long, value_name = "CHECK", default_value = "tcp", help_heading = "Health")]
    pub check: String,
    /// How often each endpoint is checked, and how long a check may take
    #[arg(long, value_name = "TIME", default_value = "1s", help_heading = "Health")]
    pub check_interval: String,

    /// What is logged: off, error, warn, info or debug; RUST_LOG wins
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Logging")]
    pub log_level: String,
    /// Where it is logged; SIGUSR1 opens the file anew [default: standard error]
    #[arg(long, value_name = "FILE", help_heading = "Logging")]
    pub error_log: Option<String>,
    /// Write a line about each request to this file, or to standard output: -
    ///
    /// One thread writes, and no request waits for it: lines for which there is no room are dropped
    /// and counted. SIGUSR1 opens the file anew. Requests have an X-Request-Id then.
    /// [default: nowhere]
    #[arg(long, value_name = "FILE", help_heading = "Logging")]
    pub access_log: Option<String>,
    /// How a line is written: combined (as Apache and nginx, with more behind it) or json
    #[arg(long, value_name = "FORMAT", default_value = "combined", help_heading = "Logging")]
    pub access_log_format: String,

    /// Where to listen for metrics, health and orders: ip:port or unix:/path [default: nowhere]
    ///
    /// /metrics, /healthz, /readyz, /status, a page at /, POST /reload and
    /// POST /upstreams/NAME/endpoints/ADDR/drain, ready or down. What can be reached from outside
    /// this machine needs --admin-token-file.
    #[arg(long, value_name = "ADDR", help_heading = "Admin")]
    pub admin: Option<String>,
    /// File with the token that admin requests need: Authorization: Bearer TOKEN
    ///
    /// 1 to 256 visible characters, in a file that others cannot read. /healthz, /readyz and
    /// the page itself need none. [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Admin")]
    pub admin_token_file: Option<String>,

    /// Go on in the background once everything listens
    #[arg(short, long, help_heading = "Process")]
    pub daemon: bool,
    /// Write the number of the process to this file, and remove it at the end
    /// [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub pid_file: Option<String>,
    /// Take over from a process that is sent SIGQUIT, at the same --upgrade-sock
    ///
    /// Its listeners, connections at rest and what it knows of endpoints. Either may come first.
    #[arg(short, long, help_heading = "Process")]
    pub upgrade: bool,
    /// Where the old and the new process meet [default: none: SIGQUIT drains]
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub upgrade_sock: Option<String>,
    /// How long one waits for the other; the old one goes on then
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Process")]
    pub upgrade_timeout: String,
    /// Become this user once everything is bound [default: nobody else]
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub user: Option<String>,
    /// Become this group once everything is bound [default: that of --user]
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub group: Option<String>,
}

/// Flags that a file cannot hold: they are about the command.
const COMMAND_ONLY: [&str; 3] = ["config", "test", "upgrade"];

/// A flag that a file may hold as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its long name, without dashes.
    pub flag: String,
    /// How many values it takes.
    pub arity: Arity,
}

/// How many values a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// None: it is there or not.
    Switch,
    /// One.
    One,
    /// One each time it is given.
    Many,
}

impl Setting {
    /// All there are.
    pub fn all() -> Vec<Self> {
        let command = Flags::augment_args(Command::new("evener"));
        let setting = |arg: &Arg| {
            let flag = arg.get_long().filter(|flag| !COMMAND_ONLY.contains(flag))?.to_owned();
            let arity = match arg.get_action() {
                ArgAction::SetTrue => Arity::Switch,
                ArgAction::Append => Arity::Many,
                _ => Arity::One,
            };
            Some(Self { flag, arity })
        };
        command.get_arguments().filter_map(setting).collect()
    }

    /// The one that has this key in a file.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::all().into_iter().find(|setting| setting.key() == key)
    }

    /// What it is called in a file.
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
