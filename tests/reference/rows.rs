//! What no table of the program says about its flags and keys: bounds, and what keys without a flag mean.
//! `reference` takes everything else from the program, and tries each of these bounds on it.

/// The least and the most that a key takes, what is refused just below and just above (or nothing), and
/// what it takes besides.
pub(super) struct Bounds {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) least: &'static str,
    pub(super) most: &'static str,
    pub(super) beyond: &'static [&'static str],
    pub(super) or: &'static str,
}

const fn bounds(
    section: &'static str,
    key: &'static str,
    least: &'static str,
    most: &'static str,
    beyond: &'static [&'static str],
) -> Bounds {
    Bounds { section, key, least, most, beyond, or: "" }
}

const fn or_off(bounds: &Bounds) -> Bounds {
    Bounds { or: "off", ..*bounds }
}

/// Of times, unless one is below.
pub(super) const TIMES: Bounds = bounds(TOP, "", "1ms", "7days", &["0s", "8days"]);

pub(super) const TOP: &str = "Top level";
pub(super) const ROUTE: &str = "A route";
pub(super) const UPSTREAM: &str = "An upstream";
pub(super) const ENDPOINT: &str = "An endpoint";
pub(super) const CHECK: &str = "A check";
pub(super) const QUEUE: &str = "A queue";
pub(super) const STICKY: &str = "Sticky sessions";
pub(super) const RELAY: &str = "A relay";
pub(super) const CERTIFICATE: &str = "A certificate";
pub(super) const EDITS: &str = "Changes to headers";
pub(super) const REDIRECT: &str = "A redirect";
pub(super) const RESPOND: &str = "An answer";
pub(super) const RATE: &str = "A rate limit";
pub(super) const MIRROR: &str = "A mirror";

pub(super) const BOUNDS: &[Bounds] = &[
    bounds(TOP, "threads", "0", "1024", &["1025"]),
    bounds(TOP, "max_head", "1k", "64k", &["1023", "65537"]),
    bounds(TOP, "max_fields", "1", "256", &["0", "257"]),
    bounds(TOP, "max_streams", "1", "65536", &["0", "65537"]),
    bounds(TOP, "max_connections", "1", "1048576", &["0", "1048577"]),
    bounds(TOP, "max_connections_per_client", "1", "1048576", &["0", "1048577"]),
    bounds(TOP, "max_idle", "0", "65536", &["65537"]),
    or_off(&bounds(TOP, "max_fails", "1", "255", &["0", "256"])),
    bounds(TOP, "fail_timeout", "1ms", "1h", &["0s", "61m"]),
    bounds(TOP, "eject_max", "1%", "100%", &["0%", "101%"]),
    bounds(TOP, "check_interval", "10ms", "1h", &["9ms", "61m"]),
    bounds(TOP, "max_requests", "1", "1048576", &["0", "1048577"]),
    bounds(TOP, "queue", "0", "1048576", &["1048577"]),
    bounds(TOP, "queue_timeout", "1ms", "1h", &["0s", "61m"]),
    bounds(TOP, "retries", "0", "7", &["8"]),
    or_off(&bounds(TOP, "retry_budget", "1%", "100%", &["101%"])),
    or_off(&bounds(TOP, "attempt_timeout", "1ms", "7days", &["0s", "8days"])),
    or_off(&bounds(TOP, "slow_start", "100ms", "1h", &["99ms", "61m"])),
    or_off(&bounds(TOP, "watch_certificates", "1ms", "7days", &["0s", "8days"])),
    bounds(TOP, "half_close_timeout", "0s", "7days", &["8days"]),
    bounds(TOP, "shutdown_delay", "0s", "7days", &["8days"]),
    or_off(&bounds(TOP, "max_body", "1", "1048576m", &["0"])),
    bounds(TOP, "access_log_sample", "0%", "100%", &["101%", "100.0001%"]),
    bounds(TOP, "trace_sample", "0%", "100%", &["101%", "100.0001%"]),
    bounds(ROUTE, "max_requests", "1", "1048576", &["0", "1048577"]),
    bounds(ENDPOINT, "weight", "1", "1000", &["0", "1001"]),
    bounds(CHECK, "port", "1", "65535", &["0", "65536"]),
    bounds(CHECK, "interval", "10ms", "1h", &["9ms", "61m"]),
    bounds(CHECK, "timeout", "10ms", "1h", &["9ms", "61m"]),
    bounds(CHECK, "rise", "1", "255", &["0", "256"]),
    bounds(CHECK, "fall", "1", "255", &["0", "256"]),
    bounds(QUEUE, "max", "0", "1048576", &["1048577"]),
    bounds(QUEUE, "timeout", "1ms", "1h", &["0s", "61m"]),
    bounds(STICKY, "max_age", "1s", "400days", &["0s", "401days"]),
    bounds(RESPOND, "status", "200", "599", &["199", "600"]),
    bounds(RATE, "rate", "1/h", "1000000/s", &["0/s", "1000001/s"]),
    bounds(RATE, "burst", "1", "1000000", &["0", "1000001"]),
    bounds(MIRROR, "percent", "0.01", "100", &["101"]),
];

/// A key without a flag: what it takes, its default, and what it means.
pub(super) type Key = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
pub(super) const KEYS: &[(&str, &[Key])] = &[
    (TOP, &[
        ("version", "`1`", "`1`", "version of the file format"),
        ("include", "FILES", "none", "further files or patterns with `routes`, `upstreams`, `tcp` and `certificates`: [several files](configuration.md#several-files)"),
        ("routes", "list of [routes](#a-route), or of texts as for `--route`", "none", "where requests go"),
        ("upstreams", "list of [upstreams](#an-upstream)", "none", "named sets of endpoints"),
        ("tcp", "list of [relays](#a-relay), or of texts as for `--tcp`", "none", "TCP connections that are relayed unchanged"),
        ("certificates", "list of [certificates](#a-certificate)", "none", "those of TLS listeners"),
        ("request_headers", "[changes](#changes-to-headers)", "none", "what endpoints get besides what clients send: [headers](rules.md#headers)"),
        ("response_headers", "[changes](#changes-to-headers)", "none", "what clients get besides what endpoints send"),
        ("error_pages", "`{STATUS: FILE, 5xx: FILE}`", "none", "bodies of Evener's own error answers: [error pages](rules.md#error-pages)"),
        ("max_body", "SIZE", "`off`", "longest body of a request; beyond it 413"),
    ]),
    (ROUTE, &[
        ("prefix", "PATH", "`/`, without `path`", "prefix of the path, at a segment boundary; `/img*` takes any path that begins so"),
        ("path", "PATH", "none", "the exact path, instead of a prefix"),
        ("host", "HOST, or a list", "any", "host asked for, or a wildcard such as `*.example.com`"),
        ("methods", "list of METHOD", "any", "methods; GET takes HEAD too"),
        ("headers", "`{NAME: VALUE}`", "any", "what headers say; `*` is any value"),
        ("query", "`{NAME: VALUE}`", "any", "what parameters of the query say; `*` is any value"),
        ("clients", "list of NETWORK", "any", "networks of clients"),
        ("upstream", "NAME", "none", "the upstream that requests go to; one of the five outcomes"),
        ("endpoints", "list of [endpoints](#an-endpoint)", "none", "endpoints of this route alone"),
        ("split", "`{UPSTREAM: WEIGHT}`", "none", "several upstreams by weight, 0 to 1000"),
        ("sticky", "[sticky sessions](#sticky-sessions)", "none", "with `split`: the cookie that keeps a client on its side"),
        ("redirect", "[redirect](#a-redirect)", "none", "where clients are sent instead"),
        ("respond", "[answer](#an-answer)", "none", "what clients are answered instead"),
        ("mirror", "[mirror](#a-mirror)", "none", "who gets copies of the requests"),
        ("request_headers", "[changes](#changes-to-headers)", "none", "on top of those of the top level"),
        ("response_headers", "[changes](#changes-to-headers)", "none", "on top of those of the top level"),
        ("allow", "list of NETWORK", "everybody", "whose clients alone are served; others get 403"),
        ("deny", "list of NETWORK", "nobody", "whose clients get 403, even if `allow` has them"),
        ("rate_limit", "[rate limit](#a-rate-limit)", "none", "how many requests there may be in a time; beyond it 429"),
        ("max_requests", "N", "no limit", "requests in flight on the route; beyond it 503"),
        ("max_body", "SIZE", "that of the top level", "longest body of a request; beyond it 413"),
        ("error_pages", "`{STATUS: FILE, 5xx: FILE}`", "those of the top level", "come before those of the top level"),
        ("access_log", "`on` or `off`", "`on`", "whether its requests have lines in the [access log](access-log.md#which-requests-have-a-line)"),
        ("strip_prefix", "`true` or `false`", "`false`", "removes the prefix from the path that endpoints get"),
        ("replace_prefix", "PATH", "none", "puts another prefix in its place"),
    ]),
    (UPSTREAM, &[
        ("name", "NAME", "none: required", "what routes and metrics call it"),
        ("endpoints", "list of [endpoints](#an-endpoint)", "none: required", "who serves"),
        ("proxy", "`v1` or `v2`", "none", "connections begin with a PROXY header of this version, and are not shared"),
        ("check", "as `--check`, or a [check](#a-check)", "that of the top level", "how endpoints are checked"),
        ("queue", "[queue](#a-queue)", "that of the top level", "who waits for room, with `max_requests`"),
        ("sticky", "as `--sticky`, or [sticky sessions](#sticky-sessions)", "that of the top level", "keeps clients on their endpoints by a cookie"),
        ("sni", "NAME", "as `--upstream-sni`", "name that is asked for and verified at endpoints over TLS"),
        ("ca", "FILE", "as `--upstream-ca`", "roots by which endpoints are verified"),
        ("verify", "`true` or `false`", "`true`, unless `upstream_insecure`", "whether certificates of endpoints are verified"),
        ("client_cert", "FILE", "as `--upstream-cert`", "certificate for endpoints that ask for one"),
        ("client_key", "FILE", "as `--upstream-key`", "its key"),
    ]),
    (ENDPOINT, &[
        ("address", "ADDR", "none: required", "as in `--route`, with a scheme if it is not `http://`; or `dns:`, `srv:` or `file:`"),
        ("weight", "N", "`1`", "its share, relative to others"),
        ("backup", "`true` or `false`", "`false`", "used only while no other is available"),
    ]),
    (CHECK, &[
        ("tcp", "`true`", "none", "to accept a connection is healthy"),
        ("http", "PATH", "none", "to answer a request for this path with one of `status` is healthy"),
        ("https", "PATH", "none", "the same over TLS"),
        ("grpc", "SERVICE", "none", "`SERVING` of this service is healthy; `\"\"` is the whole server"),
        ("host", "HOST", "`host_header`, or the endpoint", "Host or `:authority` of the request"),
        ("method", "METHOD", "`GET`", "method of the request"),
        ("status", "STATUSES", "`200-399`", "statuses that are healthy, 200 to 599"),
        ("body", "TEXT", "none", "text of at most 1024 bytes that the first 64 KiB of the body contain"),
        ("port", "PORT", "that of the endpoint", "another port of the same address"),
        ("interval", "TIME", "`check_interval`", "time between checks"),
        ("timeout", "TIME", "`interval`", "longest time of one check"),
        ("rise", "N", "`1`", "successes in a row that bring an endpoint back"),
        ("fall", "N", "`2`", "failures in a row that take it out"),
    ]),
    (QUEUE, &[
        ("max", "N", "`1000`", "requests that may wait; 0: none"),
        ("timeout", "TIME", "`1s`", "longest wait"),
    ]),
    (STICKY, &[
        ("cookie", "NAME", "none: required", "name of the cookie"),
        ("max_age", "TIME", "the browser's session", "how long clients keep it, in whole seconds"),
    ]),
    (RELAY, &[
        ("listen", "ADDR", "none: required", "where to listen"),
        ("upstream", "NAME", "none", "who gets the connections"),
        ("endpoints", "list of [endpoints](#an-endpoint)", "none", "or endpoints of this relay alone"),
        ("sni", "`{NAME: UPSTREAM}`", "none", "upstreams by the name that TLS clients ask for"),
    ]),
    (CERTIFICATE, &[
        ("cert", "FILE", "none: required", "the chain, in PEM"),
        ("key", "FILE", "the same file", "the private key, in PEM"),
    ]),
    (EDITS, &[
        ("set", "`{NAME: VALUE}`", "none", "replaces every header of that name"),
        ("add", "`{NAME: VALUE}`", "none", "adds one more"),
        ("remove", "list of NAME", "none", "leaves them out"),
    ]),
    (REDIRECT, &[
        ("to", "LOCATION", "none: required", "what Location says; may hold [variables](rules.md#variables)"),
        ("status", "`301`, `302`, `303`, `307` or `308`", "`308`", "the status"),
    ]),
    (RESPOND, &[
        ("status", "STATUS", "none: required", "the status"),
        ("body", "TEXT", "none", "at most 1 MiB; may hold [variables](rules.md#variables)"),
        ("content_type", "TYPE", "`text/plain`", "its media type"),
        ("headers", "`{NAME: VALUE}`", "none", "further headers"),
    ]),
    (RATE, &[
        ("rate", "RATE", "none: required", "requests in a second, minute or hour: `100/s`, `100/m`, `100/h`"),
        ("burst", "N", "one second's worth, at least 1", "how many may come at once after a pause"),
        ("by", "`client`, `header:NAME` or `route`", "`client`", "whose requests are counted together"),
    ]),
    (MIRROR, &[
        ("upstream", "NAME", "none: required", "who gets the copies"),
        ("percent", "PERCENT", "`100`", "how many of the requests are copied"),
    ]),
];
