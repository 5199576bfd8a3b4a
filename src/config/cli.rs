//! The command line: every flag as text, with its help. The parent module parses the values.

// Help is read in a terminal, where Markdown would only get in the way.
#![allow(clippy::doc_markdown, rustdoc::bare_urls, rustdoc::broken_intra_doc_links)]

use clap::{Arg, Args, Parser, Subcommand};

use super::tool_flags::{CompletionsFlags, DemoFlags, HealthFlags, ManFlags, TopFlags};
use super::tracing_flags::TracingFlags;

/// What `--version` says.
const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n",
    env!("EVENER_BUILD_COMMIT"),
    "\n",
    env!("EVENER_BUILD_DATE"),
    "\n",
    env!("EVENER_BUILD_PROFILE"),
    "\n",
    env!("EVENER_BUILD_TARGET"),
    "\n",
    env!("EVENER_BUILD_COMPILER"),
);

/// Load balancer for HTTP/1.1, HTTP/2 and gRPC, with and without TLS, by host and path prefix, and for TCP connections.
///
/// Runs one thread per core, each with its own listening socket and its own connections to the
/// endpoints. Endpoints are checked every second, and one that fails requests is left out for a
/// while. SIGTERM stops it after finishing requests in progress, SIGHUP reloads the configuration,
/// SIGUSR1 reopens the log files, and SIGQUIT hands over to a process started with -u.
#[derive(Debug, Parser)]
#[command(
    name = "evener",
    version,
    long_version = BUILD,
    max_term_width = 100,
    after_help = "Example:\n  evener --listen 0.0.0.0:8080 --route /auth=10.0.0.1:80,10.0.0.2:80 \
                  --route /task=10.0.0.3:80@2,unix:/run/task.sock\n\nTry it: evener demo"
)]
pub struct Cli {
    /// A subcommand, for anything other than balancing.
    #[command(subcommand)]
    pub job: Option<Job>,
    /// The flags of the balancer.
    #[command(flatten)]
    pub flags: Flags,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Show which route, upstream and rules a request would take, and why
    ///
    /// Accepts the flags of the balancer, including -c. Nothing is sent or bound.
    Explain(Box<ExplainFlags>),
    /// Run three small origins and a balancer in front of them, for a first try
    ///
    /// The balancer speaks HTTP/1.1 and HTTP/2: over TLS as the client likes, in plain text as it begins.
    Demo(DemoFlags),
    /// Show a running balancer live: requests, latency, upstreams, and endpoints to drain or take down
    ///
    /// Asks its --admin listener. The keys are listed in the bottom line. Without a terminal, or with
    /// --once, prints one snapshot as plain text; scripts may prefer the JSON of /status.
    Top(TopFlags),
    /// Run one small, fast origin, for benchmarks and experiments
    ///
    /// It answers with its name; `?bytes=N` sets the size of the response, `?status=N` its status,
    /// `?delay=100ms` delays it, and /echo returns the request headers. It speaks HTTP/1.1 and HTTP/2:
    /// over TLS as the client likes, in plain text as it begins.
    Origin(OriginFlags),
    /// Ask the admin listener whether Evener takes new connections, and exit with 0 if so, otherwise 1
    ///
    /// For HEALTHCHECK of containers and for scripts. No token is needed.
    Health(HealthFlags),
    /// Print the completions of a shell
    ///
    /// For example: evener completions bash > /etc/bash_completion.d/evener
    Completions(CompletionsFlags),
    /// Print the manual page of Evener or of a subcommand
    ///
    /// For example: evener man > /usr/local/share/man/man1/evener.1
    Man(ManFlags),
}

/// The flags of `evener explain`.
#[derive(Debug, Args)]
pub struct ExplainFlags {
    /// The flags of the balancer.
    #[command(flatten)]
    pub flags: Flags,
    /// Method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// Host of the request, as in a Host header [default: localhost]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// The request comes over https
    #[arg(long)]
    pub https: bool,
    /// Header of the request; repeatable
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Address of the client, behind trusted proxies that of the real one
    #[arg(long, value_name = "IP")]
    pub client: Option<String>,
    /// Query of the request, such as a=1&b=2; repeatable
    #[arg(long, value_name = "QUERY")]
    pub query: Vec<String>,
    /// Path of the request, with its query if any; or HOST/PATH, or a whole URL
    #[arg(value_name = "PATH")]
    pub path: String,
}

/// The flags of `evener origin`.
#[derive(Debug, Args)]
pub struct OriginFlags {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub listen: String,
    /// Name to answer with
    #[arg(long, value_name = "NAME", default_value = "origin")]
    pub name: String,
    /// Number of threads; 0: one per core this process may use
    #[arg(long, value_name = "N", default_value = "1")]
    pub threads: String,
    /// Speak TLS, with this certificate chain in PEM; its private key is in the same file, or in --key
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// Private key of --cert in PEM, not encrypted
    #[arg(long, value_name = "FILE")]
    pub key: Option<String>,
}

/// The flags of the balancer, as typed.
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch")]
#[derive(Clone, Debug, Args)]
#[command(mut_args = take_negative_numbers)]
pub struct Flags {
    /// Configuration file in YAML; flags take precedence over it
    ///
    /// A key is the name of a flag with _ instead of -, but --cert and --key are written as
    /// certificates: [{cert: FILE, key: FILE}]. `routes`, `upstreams` and `tcp` allow more settings than
    /// the flags: see docs/configuration.md.
    #[arg(short, long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<String>,
    /// Check flags and file and what a start takes, print the configuration, and exit with 0, 1 or 2
    ///
    /// 2 is for mistakes. 1 is for what would fail here: an address in use, a log that cannot be written.
    /// Nothing is listened to or created. What Evener itself listens to is a warning.
    #[arg(short, long, help_heading = "Configuration")]
    pub test: bool,

    /// Address to listen on for HTTP; repeatable [default: 127.0.0.1:8080]
    ///
    /// ip:port, [v6]:port, :port or unix:/path. With --listen-tls, or with --tcp and without a route,
    /// there is no default. With ADDR,proxy, connections must begin with a PROXY protocol header (v1 or
    /// v2) from a --trusted proxy.
    #[arg(long, value_name = "ADDR", help_heading = "Listening")]
    pub listen: Vec<String>,
    /// Address to listen on for HTTPS; repeatable [default: none]
    ///
    /// As for --listen. A --cert is required; all TLS listeners have the same certificates.
    #[arg(long, value_name = "ADDR", help_heading = "Listening")]
    pub listen_tls: Vec<String>,
    /// Relay TCP connections: LISTEN[,sni=NAME]=ENDPOINT[@WEIGHT][,…]; repeatable
    ///
    /// For protocols other than HTTP: databases, or TLS that is terminated elsewhere. Endpoints are
    /// chosen, checked (by connecting) and ejected like those of a route. --tunnel-timeout limits
    /// idle connections. LISTEN,proxy=… and …,proxy=v2 work as with --listen and --route. With
    /// sni=a.example.com or sni=*.example.com, only TLS connections that ask for this host; several
    /// names may share an address, and a relay without sni= takes the rest there.
    #[arg(long, value_name = "RELAY", help_heading = "Listening")]
    pub tcp: Vec<String>,
    /// Speak HTTP/1.1 only, on both kinds of listener
    #[arg(long, help_heading = "Listening")]
    pub no_http2: bool,
    /// Number of worker threads; 0: one per core this process may use, considering cgroup quotas
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Listening")]
    pub threads: String,

    /// Certificate chain in PEM; repeatable [default: none]
    ///
    /// The certificate of the host comes first, then those that vouch for it. Its private key is in the
    /// same file, or named by --key. Which one a client gets is decided by the name it asks for (SNI):
    /// exact before wildcard; the first --cert serves clients that name no host or an unknown one.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub cert: Vec<String>,
    /// Private key in PEM, not encrypted; repeatable [default: none]
    ///
    /// The first --key belongs to the first --cert whose file holds no key, and so on.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub key: Vec<String>,
    /// Oldest version of TLS to accept from clients: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.2", help_heading = "TLS")]
    pub tls_min_version: String,
    /// Authorities in PEM whose certificates clients have to show [default: none is asked for]
    ///
    /// Endpoints get X-Client-Cert-Subject and X-Client-Cert-SHA256.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub client_ca: Option<String>,
    /// Whether clients have to show a certificate: required or optional
    /// [default: required with --client-ca]
    #[arg(long, value_name = "MODE", help_heading = "TLS")]
    pub client_auth: Option<String>,
    /// Redirect requests on plain listeners to https, with status 308
    ///
    /// The host and the target stay the same; the port is that of the first --listen-tls. Paths below
    /// /.well-known/acme-challenge/ are not redirected, nor is what a --trusted proxy received over
    /// https.
    #[arg(long, help_heading = "TLS")]
    pub redirect_https: bool,
    /// How often to look whether the files of certificates and keys have changed, and load them if so;
    /// or off
    #[arg(long, value_name = "TIME", default_value = "1m", help_heading = "TLS")]
    pub watch_certificates: String,

    /// Route requests to endpoints: [HOST]PREFIX=ENDPOINT[@WEIGHT][,…]; repeatable
    ///
    /// The longest prefix wins. /auth matches /auth and /auth/… but not /authx; /img* matches every
    /// path that begins with /img; / matches the rest. Routes with a host (api.example.com/v1) take
    /// precedence over those without. An endpoint is ip:port, [v6]:port, name:port or unix:/path,
    /// with https:// in front if it speaks TLS, h2:// for HTTP/2 over TLS, and h2c:// without.
    /// With proxy=v1 or proxy=v2 at the end, connections begin with a PROXY protocol header and are
    /// not shared.
    #[arg(long, value_name = "ROUTE", help_heading = "Routing")]
    pub route: Vec<String>,
    /// Name server for endpoints that are names; repeatable [default: the system's resolver]
    ///
    /// ip or ip:port. It is asked about dns:NAME:PORT, srv:_service._proto.NAME and name:port; names in
    /// /etc/hosts are taken from there.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', help_heading = "Routing")]
    pub resolver: Vec<String>,
    /// Host header to send to endpoints [default: the client's]
    #[arg(long, value_name = "HOST", help_heading = "Routing")]
    pub host_header: Option<String>,
    /// Name of this proxy in Via, which is then added to requests and responses; a request that has
    /// passed this process before is answered with 508 [default: no Via]
    #[arg(long, value_name = "NAME", help_heading = "Routing")]
    pub via: Option<String>,
    /// Networks (or `unix`) whose X-Forwarded-* and Forwarded headers are kept, and whose PROXY
    /// headers are accepted; repeatable
    /// [default: none]
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', help_heading = "Routing")]
    pub trusted: Vec<String>,

    /// Which endpoint gets a request: round_robin, least_requests, two_choices, random, least_time or hash
    #[arg(long, value_name = "POLICY", default_value = "round_robin", help_heading = "Balancing")]
    pub policy: String,
    /// With the policy hash, what is hashed: client, path, target, host, header:NAME, cookie:NAME or
    /// query:NAME [default: client]
    ///
    /// Requests with the same key go to the same endpoint; those without one are spread. TCP upstreams
    /// always hash the client.
    #[arg(long, value_name = "KEY", help_heading = "Balancing")]
    pub hash_on: Option<String>,
    /// Keep each client on its endpoint by a cookie of this name: NAME[,max_age=TIME], beside any policy
    /// [default: none]
    ///
    /// Without max_age the cookie lasts as long as the session of a browser. off: none.
    #[arg(long, value_name = "COOKIE", help_heading = "Balancing")]
    pub sticky: Option<String>,
    /// How long an endpoint that comes back, or is added, takes to get its whole share; off: no time
    #[arg(long, value_name = "TIME", default_value = "off", help_heading = "Balancing")]
    pub slow_start: String,

    /// Name to ask for by SNI and to verify at https:// and h2:// endpoints [default: the endpoint's]
    #[arg(long, value_name = "NAME", help_heading = "TLS to endpoints")]
    pub upstream_sni: Option<String>,
    /// File with the root certificates of endpoints over TLS, in PEM [default: the system's]
    #[arg(long, value_name = "FILE", help_heading = "TLS to endpoints")]
    pub upstream_ca: Option<String>,
    /// Accept any certificate from endpoints over TLS: for tests only
    #[arg(long, help_heading = "TLS to endpoints")]
    pub upstream_insecure: bool,
    /// Client certificate for endpoints over TLS that ask for one, in PEM [default: none]
    #[arg(long, value_name = "FILE", help_heading = "TLS to endpoints")]
    pub upstream_cert: Option<String>,
    /// Key of --upstream-cert, in PEM [default: none]
    #[arg(long, value_name = "FILE", help_heading = "TLS to endpoints")]
    pub upstream_key: Option<String>,

    /// Maximum time to connect to an endpoint, including the TLS handshake
    #[arg(long, value_name = "TIME", default_value = "3s", help_heading = "Timeouts")]
    pub connect_timeout: String,
    /// Maximum time for the TLS handshake of a client, from its connection on; with sni=, to its hello
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Timeouts")]
    pub handshake_timeout: String,
    /// Maximum time to receive request headers, including from slow clients
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Timeouts")]
    pub header_timeout: String,
    /// Maximum time a client connection may be idle between requests
    #[arg(long, value_name = "TIME", default_value = "75s", help_heading = "Timeouts")]
    pub keepalive_timeout: String,
    /// Maximum time a connection to an endpoint may be idle
    #[arg(long, value_name = "TIME", default_value = "50s", help_heading = "Timeouts")]
    pub upstream_keepalive_timeout: String,
    /// Maximum time to wait for response headers from an endpoint
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Timeouts")]
    pub response_timeout: String,
    /// Maximum time between two bytes of a body
    #[arg(long, value_name = "TIME", default_value = "60s", help_heading = "Timeouts")]
    pub idle_timeout: String,
    /// Maximum time without response bytes for a client that has half-closed its connection; 0 ends
    /// the exchange at once
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Timeouts")]
    pub half_close_timeout: String,
    /// Maximum time between two bytes of a tunnel (WebSocket, other upgrades and --tcp)
    #[arg(long, value_name = "TIME", default_value = "1h", help_heading = "Timeouts")]
    pub tunnel_timeout: String,
    /// Maximum time to finish requests in progress after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Timeouts")]
    pub drain_timeout: String,
    /// How long to go on accepting after SIGTERM, with /readyz 503, before requests in progress are
    /// finished and the process exits
    ///
    /// Gives load balancers time to notice. SIGTERM or SIGQUIT ends the wait and the drain begins;
    /// SIGINT ends the process. 0s: not at all.
    #[arg(long, value_name = "TIME", default_value = "0s", help_heading = "Timeouts")]
    pub shutdown_delay: String,

    /// Maximum size of request and response headers, 1k to 64k
    ///
    /// In HTTP/2 names and values count, and 32 bytes for each field: together up to this and 32 bytes for
    /// each of --max-fields.
    #[arg(long, value_name = "SIZE", default_value = "16k", help_heading = "Limits")]
    pub max_head: String,
    /// Maximum number of headers in a message, 1 to 256
    #[arg(long, value_name = "N", default_value = "100", help_heading = "Limits")]
    pub max_fields: String,
    /// Maximum number of HTTP/2 streams of a connection at a time, 1 to 65536; more are refused
    ///
    /// A reload changes it for new connections; open ones keep what they were told.
    #[arg(long, value_name = "N", default_value = "128", help_heading = "Limits")]
    pub max_streams: String,
    /// Maximum number of client connections; more wait in the kernel's queue
    /// [default: half of the file descriptors left after threads and listeners]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections: Option<String>,
    /// Maximum number of connections per client address; more are reset
    /// [default: no limit]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections_per_client: Option<String>,
    /// Maximum number of idle connections per endpoint and thread, those that threads share included; 0: none,
    /// and those of HTTP/2 close once their last stream has ended
    #[arg(long, value_name = "N", default_value = "512", help_heading = "Limits")]
    pub max_idle: String,

    /// Number of consecutive failures that eject an endpoint, 1 to 255; off: none do
    #[arg(long, value_name = "N", default_value = "3", help_heading = "Health")]
    pub max_fails: String,
    /// How long an endpoint stays ejected; doubles with each consecutive ejection, up to 60s
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Health")]
    pub fail_timeout: String,
    /// Of the primary endpoints of an upstream, and of its backups, at most this share is ejected at a time,
    /// but at least one may be; all primary ones while a backup is healthy
    #[arg(long, value_name = "SHARE", default_value = "50%", help_heading = "Health")]
    pub eject_max: String,
    /// Count responses with status 500-599 as failures
    #[arg(long, help_heading = "Health")]
    pub fail_on_5xx: bool,
    /// How endpoints are checked: tcp, http:/path or https:/path (200-399 is healthy), grpc[:SERVICE],
    /// or off
    #[arg(long, value_name = "CHECK", default_value = "tcp", help_heading = "Health")]
    pub check: String,
    /// Interval between checks of an endpoint, and the maximum time of one check
    #[arg(long, value_name = "TIME", default_value = "1s", help_heading = "Health")]
    pub check_interval: String,

    /// Maximum number of requests at an endpoint at a time, over all threads [default: no limit]
    ///
    /// Requests that a connection is being opened for count, as do HTTP/2 streams and --tcp connections.
    /// The rest wait in the --queue.
    #[arg(long, value_name = "N", help_heading = "Resilience")]
    pub max_requests: Option<String>,
    /// With --max-requests, how many requests may wait for room at an endpoint; beyond that, and if the
    /// queue does not get shorter by itself, they are answered with 503; 0: at once [default: 1000]
    #[arg(long, value_name = "MAX", help_heading = "Resilience")]
    pub queue: Option<String>,
    /// Maximum time to wait in the --queue [default: 1s]
    #[arg(long, value_name = "TIME", help_heading = "Resilience")]
    pub queue_timeout: Option<String>,
    /// Maximum number of further attempts after an endpoint has failed a request, 0 to 7
    ///
    /// Replacing a stale connection is none of them.
    #[arg(long, value_name = "N", default_value = "7", help_heading = "Resilience")]
    pub retries: String,
    /// When to make another attempt: connect, stale, reset, timeout, 502, 503, 504, 5xx; repeatable
    /// [default: connect,stale,reset, with --attempt-timeout also timeout]
    ///
    /// All but connect and stale hold only for requests that are idempotent.
    #[arg(long, value_name = "REASONS", value_delimiter = ',', help_heading = "Resilience")]
    pub retry_on: Vec<String>,
    /// Maximum number of further attempts for the requests of the last 10 s: a share of them, and 10 a
    /// second at least; or off
    #[arg(long, value_name = "PERCENT", default_value = "20%", help_heading = "Resilience")]
    pub retry_budget: String,
    /// Maximum time for one attempt's response headers; --response-timeout then bounds all of them together
    /// [default: none]
    #[arg(long, value_name = "TIME", help_heading = "Resilience")]
    pub attempt_timeout: Option<String>,

    /// Log level: off, error, warn, info or debug; RUST_LOG takes precedence
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Logging")]
    pub log_level: String,
    /// File for the error log; SIGUSR1 reopens it [default: standard error]
    #[arg(long, value_name = "FILE", help_heading = "Logging")]
    pub error_log: Option<String>,
    /// File for the access log, one line per request; - is standard output [default: none]
    ///
    /// A separate thread writes it, and no request waits for it: if its queue is full, lines are
    /// dropped and counted. SIGUSR1 reopens the file. Requests get an X-Request-Id.
    #[arg(long, value_name = "FILE", help_heading = "Logging")]
    pub access_log: Option<String>,
    /// Format of the access log: combined (as in Apache and nginx, followed by more fields) or json
    #[arg(long, value_name = "FORMAT", default_value = "combined", help_heading = "Logging")]
    pub access_log_format: String,
    /// Fields of an access log line, in this order; repeatable [default: those of the format]
    ///
    /// As key=value with combined, as an object with json. docs/access-log.md lists the fields.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', help_heading = "Logging")]
    pub access_log_fields: Vec<String>,
    /// Share of requests with a line in the access log, such as 1%; those that fail always have one
    #[arg(long, value_name = "PERCENT", default_value = "100%", help_heading = "Logging")]
    pub access_log_sample: String,

    /// Those about traces.
    #[command(flatten)]
    pub tracing: TracingFlags,

    /// Address for metrics, health and commands: ip:port or unix:/path [default: none]
    ///
    /// Serves /metrics, /healthz, /readyz, /status, a page at /, POST /reload and
    /// POST /upstreams/NAME/endpoints/ADDR/drain, ready or down, in plain HTTP. An address that is
    /// reachable from other machines requires --admin-token-file.
    #[arg(long, value_name = "ADDR", help_heading = "Admin")]
    pub admin: Option<String>,
    /// File with the token that admin requests need (Authorization: Bearer) [default: none]
    ///
    /// 1 to 256 visible characters, in a file that others cannot read. /healthz, /readyz and the page
    /// itself need no token.
    #[arg(long, value_name = "FILE", help_heading = "Admin")]
    pub admin_token_file: Option<String>,

    /// Run in the background once everything listens
    #[arg(short, long, help_heading = "Process")]
    pub daemon: bool,
    /// File to write the PID to; removed on exit
    /// [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub pid_file: Option<String>,
    /// Take over from a process that receives SIGQUIT and has the same --upgrade-sock
    ///
    /// Takes over its listeners, idle connections and the state of endpoints. Connections over TLS and
    /// those of HTTP/2 are closed in order, and clients resume their TLS sessions. The SIGQUIT may come
    /// before or after the start.
    #[arg(short, long, help_heading = "Process")]
    pub upgrade: bool,
    /// Unix socket for upgrades, shared by the old and the new process [default: none: SIGQUIT drains]
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub upgrade_sock: Option<String>,
    /// Maximum time to wait for the other process; after that, the old one continues
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Process")]
    pub upgrade_timeout: String,
    /// User to switch to once everything is bound [default: unchanged]
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub user: Option<String>,
    /// Group to switch to once everything is bound [default: that of --user]
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub group: Option<String>,
}

/// Has a number below 0 taken for a value, which is then refused as such, and not for a flag.
fn take_negative_numbers(arg: Arg) -> Arg {
    let has_value = arg.get_action().takes_values();
    arg.allow_negative_numbers(has_value)
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
