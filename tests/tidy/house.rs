//! Checks what each file may do: what it imports, whether it is pure, and whether it uses `unsafe`.

use super::hold;
use super::imports::{files_of, imports};
use super::source::{Source, find_words, line_of};

/// The rooms from the bottom up: rank, folder, files. A file imports only what is listed before it.
pub(super) const HOUSE: &[(u8, &str, &[&str])] = &[
    (0, "", &["address", "app_protocol", "decimal", "hash", "calendar", "reject", "shed"]),
    (0, "", &["termination", "tls_fault", "placement"]),
    (0, "", &["fault", "ejection_reason", "buffer", "drain", "id", "random", "corpus"]),
    (1, "proxy_protocol/", &["header", "line", "block", "mod", "fuzz"]),
    (1, "tls_hello/", &["name", "message", "mod", "fuzz"]),
    (1, "grpc/", &["status", "call", "message", "protobuf", "health", "mod", "fuzz"]),
    (1, "route/", &["path", "pattern", "server_names", "trie", "mod", "fuzz"]),
    (1, "http/message/", &["authority", "field", "frequent_names", "forwarded_for", "head"]),
    (1, "http/message/", &["lookup", "date", "hop"]),
    (1, "http/message/", &["edit_name", "edit_value", "edits", "forwarded", "rules"]),
    (1, "http/message/", &["max_forwards", "redirect", "via", "websocket", "mod"]),
    (1, "http/rules/", &["variable", "escape", "template", "location", "head_edits", "outcome"]),
    (1, "http/rules/", &["access", "client_hash", "limit_table", "rate_limit", "refusal"]),
    (1, "http/rules/", &["request_limit", "error_pages", "mirror", "template_fuzz", "mod"]),
    (1, "http/h1/", &["scan", "one_pass", "parse", "framing", "chunk_lines", "chunked"]),
    (1, "http/h1/", &["persistence", "chunked_tests", "head_writer", "encode", "reply"]),
    (1, "http/h1/", &["cost", "mod"]),
    (1, "http/h2/", &["section"]),
    (1, "http/h2/hpack/", &["error", "integer", "huffman", "static_table", "table"]),
    (1, "http/h2/hpack/", &["decoder", "encoder", "mod", "examples", "reference", "fuzz"]),
    (1, "http/h2/", &["fields", "request", "response", "encode", "trailers"]),
    (1, "http/h2/", &["error_code", "frame", "flow", "settings", "limits", "budget", "closed"]),
    (1, "http/h2/", &["queue", "output", "stream", "connection", "sending", "receiving", "mod"]),
    (1, "http/h2/", &["conserved", "intake"]),
    (1, "http/", &["oracle", "head_end_fuzz", "chunks_fuzz", "fuzz", "lookup_fuzz"]),
    (1, "http/h2/", &["simulation", "accounts", "faults", "floods", "frames_fuzz", "fuzz"]),
    (1, "http/rules/", &["conditions", "candidates", "table", "fuzz"]),
    (1, "http/", &["mod"]),
    (1, "trace/", &["context"]),
    (1, "access_log/", &["text", "date", "request_id", "sample_rate", "field", "format"]),
    (1, "access_log/", &["entry", "batch", "combined", "json", "formatter", "mod"]),
    (1, "trace/", &["span", "encode", "mod", "fuzz"]),
    (1, "", &["metrics"]),
    (1, "upstream/", &["permits", "queue"]),
    (
        1,
        "upstream/",
        &[
            "watchers",
            "watched_word",
            "ejections",
            "span",
            "health_word",
            "recovery",
            "health",
            "check",
            "settings",
            "admin_state",
        ],
    ),
    (1, "upstream/", &["retries", "slots", "shared_count", "failures", "endpoint_tls", "endpoint"]),
    (1, "upstream/", &["custom_policy"]),
    (1, "upstream/", &["departed"]),
    (1, "upstream/", &["endpoint_set", "sticky", "budget", "record", "mod", "request_permit"]),
    (1, "upstream/", &["split_cookie", "custom_source", "source", "srv"]),
    (1, "balance/", &["key", "tried", "candidate", "pick", "ceilings", "lots", "slow_start"]),
    (1, "balance/", &["round_robin", "least_requests", "random_choice", "two_choices"]),
    (1, "balance/", &["least_time", "hash_choice", "custom_choice"]),
    (1, "balance/", &["balancer", "picker", "mod", "picker_tests", "policy_tests"]),
    (1, "upstream/", &["queue_simulation", "queue_tests"]),
    (2, "net/", &["deadline", "wall_clock", "delivery", "descriptors", "keep_alive", "memory"]),
    (2, "net/", &["registered", "resting", "socket", "holder", "writable"]),
    (2, "net/tls/", &["provider", "failure", "watched_file", "pem", "samples", "certificate"]),
    (2, "net/tls/", &["certificates", "tickets", "server", "client", "client_certificate", "info"]),
    (2, "net/tls/", &["aead", "record", "record_layer", "unbuffered", "session", "stream"]),
    (2, "net/tls/", &["handshake", "mod", "fuzz", "record_layer_fuzz"]),
    (2, "net/tls/", &["record_layer_tests", "stream_tests"]),
    (
        2,
        "net/",
        &[
            "stream",
            "freed",
            "stream_tasks",
            "turn",
            "mux",
            "mux_tests",
            "mux_stream",
            "shared",
            "splice",
            "splice_line",
            "lease",
            "shelf",
        ],
    ),
    (
        2,
        "net/",
        &[
            "interfaces",
            "socket_file",
            "listen",
            "upgrade_socket",
            "hand_off",
            "limiter",
            "connect",
            "pool",
            "pool_simulation",
            "pool_tests",
            "mod",
        ],
    ),
    (2, "otlp/", &["collector", "partial", "http", "queue", "exporter", "mod"]),
    (2, "log/", &["target", "output", "queue", "writer", "log_writer", "access_logger"]),
    (2, "log/", &["access_log", "error_log", "once_per_second", "mod"]),
    (
        3,
        "relay/",
        &["ends", "body_copy", "incoming", "copy", "head", "body", "body_tests", "message"],
    ),
    (3, "relay/", &["duplex", "mod"]),
    (3, "plan/", &["sni", "trusted", "mod", "find", "shelves", "share", "steps", "context"]),
    (3, "plan/", &["handle", "listener"]),
    (3, "filters/", &["reply", "exchange_record", "calls", "mod", "chain", "values", "limits"]),
    (3, "filters/", &["rules"]),
    (4, "session/", &["accepted", "client_info", "request_log", "tracing", "secure", "record"]),
    (4, "session/", &["presence", "partial_head", "parking"]),
    (4, "session/", &["client", "attempt", "affinity", "attempt_edits", "request_copy"]),
    (4, "session/", &["prepared_copy", "request", "request_head", "preparation"]),
    (4, "session/", &["admission", "local_answer"]),
    (4, "session/", &["retry", "answer", "upstream_h2", "upstream_side", "cut", "transfer_state"]),
    (4, "session/", &["investigation", "directions", "hearing", "give_back", "copy_attempt"]),
    (4, "session/", &["mirror", "upload", "conclusion", "transfer", "tunnel"]),
    (4, "session/", &["exchange", "h2_stream", "h2", "h1"]),
    (4, "session/", &["hello", "tcp", "tls", "mod"]),
    (4, "session/simulation/", &["plan", "script", "choices", "plans", "ledger", "pipe", "frames"]),
    (4, "session/simulation/", &["messages", "shared", "client_h1", "client_h2"]),
    (4, "session/simulation/", &["endpoint_h1", "endpoint_h2", "invariants", "world", "mod"]),
    (4, "session/", &["fuzz", "answer_tests"]),
    (5, "config/", &["tool_flags", "tracing_flags", "cli", "setting", "keys"]),
    (5, "config/", &["unknown", "hints", "interface", "scheme", "source", "value"]),
    (5, "config/", &["mistake", "wording", "words", "log_level", "manual"]),
    (5, "config/", &["spanned", "entries", "rule_entries", "route_entry"]),
    (5, "config/", &["tree", "scalar", "one_pass", "environment", "node_deserializer", "shape"]),
    (
        5,
        "config/",
        &["file", "include", "sources", "access_log", "check", "ejection", "limits", "tracing"],
    ),
    (5, "config/", &["one_pass_fuzz", "upstream_tls", "misfits"]),
    (5, "config/", &["trusted", "discovery", "balancing", "ceiling", "retries"]),
    (5, "config/", &["upstream_settings", "upstreams", "conditions"]),
    (
        5,
        "config/",
        &["templates", "head_edits", "outcome", "mirror", "error_pages", "route_limits", "rules"],
    ),
    (5, "config/", &["prefix_change", "routes"]),
    (5, "config/", &["admin", "listeners", "redirect_loops"]),
    (5, "config/", &["relays", "tls", "capacity", "launch", "lifecycle", "named"]),
    (5, "config/", &["document", "errors", "loader", "mod", "builder", "in_code"]),
    (5, "config/", &["item", "describe_rules", "explain_rules", "route_changes"]),
    (5, "config/", &["found", "upstream_keys", "describe", "explain_pick", "explain_route"]),
    (5, "config/", &["explain"]),
    (6, "worker/", &["command", "fresh_queue", "rebalancing", "acceptor", "mod"]),
    (7, "checks/", &["failure", "body", "h1", "h2", "kept", "spec", "proof", "judge", "mod"]),
    (7, "discovery/", &["outcome", "file", "custom", "dns", "board", "board_tests", "mod"]),
    (
        7,
        "control/",
        &["start_error", "process", "error_logging", "pid_file", "carry_over", "dry_run"],
    ),
    (7, "control/", &["listeners", "workers", "inbox", "certificate_watch"]),
    (7, "control/upgrade/", &["message", "offer", "takeover", "arrivals"]),
    (7, "control/", &["systemd", "running", "state", "signals", "ending"]),
    (7, "", &["admin_client"]),
    (
        7,
        "admin/",
        &[
            "machine",
            "http",
            "access",
            "exposition",
            "state",
            "ceiling_metrics",
            "endpoint_metrics",
            "limit_metrics",
            "log_metrics",
            "mirror_metrics",
            "process_metrics",
            "metrics",
            "traffic_status",
            "upstream_status",
            "status",
            "endpoint_commands",
            "probe",
            "mod",
        ],
    ),
    (7, "control/upgrade/", &["meeting", "mod"]),
    (7, "control/", &["reload", "discovered", "mod"]),
    (
        7,
        "top/",
        &[
            "text", "reading", "samples", "grid", "quantile", "rows", "keys", "plain", "draw",
            "feed", "terminal", "mod",
        ],
    ),
    (7, "demo/", &["certificate", "answer_spec", "origin_h2", "origin", "traffic", "mod"]),
    (8, "", &["evener", "lib", "main"]),
];

/// Files up to this rank are pure: time, randomness and bytes are passed to them as arguments.
const PURE_RANK_MAX: u8 = 1;

/// What a pure file must not mention.
#[rustfmt::skip]
const IMPURE: &[&str] = &[
    "tokio", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "unix::net",
    "Instant::now", "SystemTime", "rand", "unsafe",
    "log::", "tracing::", "error!", "warn!", "info!", "debug!", "trace!",
];

/// The files that may contain `unsafe` blocks.
const UNSAFE_FILES: &[&str] = &["src/net/delivery.rs"];

#[test]
fn imports_point_downwards() {
    hold(&["src"], upward_imports, "move down what both need, or return a value");
}

#[test]
fn the_lowest_ranks_are_pure() {
    hold(&["src"], impurities, "take its value as an argument");
}

#[test]
fn unsafe_is_listed() {
    hold(&["src", "tests"], stray_unsafe, "do without, or argue for it in UNSAFE_FILES");
}

#[test]
fn unsafe_is_explained() {
    hold(&["src", "tests"], unexplained_unsafe, "put `// SAFETY:` and why it is sound above it");
}

#[test]
fn parents_are_imported_by_name() {
    hold(&["src"], parent_globs, "name what is imported");
}

pub(super) fn upward_imports(source: &Source) -> Vec<String> {
    let house: Vec<_> = house().map(|(_, path)| path).collect();
    let place = |path: &String| house.iter().position(|listed| listed == path);
    let Some(own) = place(&source.path) else {
        return vec![source.at(0, "has no row in HOUSE")];
    };
    let targets = imports(source).into_iter().map(|(at, path)| (at, files_of(&path)));
    targets
        .filter_map(|(at, files)| Some((at, files.iter().find_map(place)?)))
        .filter(|(_, target)| *target > own)
        .map(|(at, target)| source.at(at, &format!("imports {} from above", house[target])))
        .collect()
}

pub(super) fn impurities(source: &Source) -> Vec<String> {
    let pure = house().any(|(rank, path)| rank <= PURE_RANK_MAX && path == source.path);
    if pure { source.each(&source.shipped, IMPURE) } else { Vec::new() }
}

pub(super) fn stray_unsafe(source: &Source) -> Vec<String> {
    let listed = UNSAFE_FILES.contains(&source.path.as_str());
    if listed { Vec::new() } else { source.each(&source.code, &["unsafe"]) }
}

pub(super) fn unexplained_unsafe(source: &Source) -> Vec<String> {
    let is_block = |at: &usize| source.code[at + "unsafe".len()..].trim_start().starts_with('{');
    let explained = |at: &usize| {
        let above = source.text.lines().take(line_of(&source.code, *at) - 1).collect::<Vec<_>>();
        let mut remarks = above.iter().rev().map(|line| line.trim_start());
        remarks
            .by_ref()
            .take_while(|line| line.starts_with("//"))
            .any(|line| line.contains("SAFETY:"))
    };
    let blocks = find_words(&source.code, "unsafe").filter(is_block);
    blocks.filter(|at| !explained(at)).map(|at| source.at(at, "unexplained `unsafe`")).collect()
}

pub(super) fn parent_globs(source: &Source) -> Vec<String> {
    source.each(&source.shipped, &["use super::*"])
}

fn house() -> impl Iterator<Item = (u8, String)> {
    HOUSE.iter().flat_map(|(rank, folder, files)| {
        files.iter().map(move |file| (*rank, format!("src/{folder}{file}.rs")))
    })
}
