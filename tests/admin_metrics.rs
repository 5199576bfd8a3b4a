//! The metrics: valid Prometheus text, and correct numbers.

#![expect(clippy::float_cmp, reason = "counts are whole, bounds are as they are written")]

use std::collections::{BTreeMap, BTreeSet};

use crate::support::origin::{ok, ok_head};
use crate::support::{Admin, Origin, eventually, filler, temporary};

/// More than the kernel keeps for a client that reads nothing.
const HUGE: usize = 32 << 20;

/// Parses the text format and checks its rules (Prometheus, exposition formats, and those of
/// `promtool check metrics`).
fn checked(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(!help.trim().is_empty(), "{line}");
            let (of, is) = lines
                .next()
                .and_then(|next| next.strip_prefix("# TYPE ")?.split_once(' '))
                .expect("a type");
            assert_eq!(of, name);
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            assert!(["counter", "gauge", "histogram"].contains(&is), "{line}");
            assert_eq!(is == "counter", name.ends_with("_total"), "{name}");
            assert!(name.starts_with("evener_") || name.starts_with("process_"), "{name}");
            (family, kind) = (name.to_owned(), is.to_owned());
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let name = sample.split('{').next().unwrap();
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} in {family}"));
        let allowed: &[&str] =
            if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(labels_are_plain(&sample[name.len()..]), "{line}");
        let value: f64 = value.parse().expect("a number");
        assert!(value >= 0.0, "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{line} comes twice");
    }
    samples
}

/// Whether labels are `{name="value",…}` with escaped values, or absent.
fn labels_are_plain(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return text.is_empty();
    };
    let mut rest = inner;
    loop {
        let Some((name, after)) = rest.split_once("=\"") else { return false };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let mut escaped = false;
        let end = after.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return false };
        if name.is_empty() || !name.bytes().all(plain) {
            return false;
        }
        rest = match after[end + 1..].strip_prefix(',') {
            Some(rest) => rest,
            None => return after.len() == end + 1,
        };
    }
}

#[test]
fn the_text_is_valid() {
    let origin = Origin::named("o");
    let address = origin.address;
    let relay = format!("127.0.0.1:0={address}");
    let odd = format!("/a\"b\\c={address}");
    let more = ["--tcp", &relay, "--tcp", &relay, "--route", &odd];
    let admin = Admin::before(&[&origin], &more);
    let samples = checked(&admin.get("/metrics").text());
    let up = |upstream: &str| {
        let labels = format!("{{upstream=\"{upstream}\",endpoint=\"{address}\"}}");
        samples.get(&format!("evener_endpoint_up{labels}")).copied()
    };
    for name in ["/", "/a\\\"b\\\\c", "127.0.0.1:0", "127.0.0.1:0#2"] {
        assert_eq!(up(name), Some(1.0), "{name} in {samples:#?}");
    }
    let version = format!("evener_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(samples[&version], 1.0);
    if cfg!(target_os = "linux") {
        assert!(samples["process_resident_memory_bytes"] > 1e6);
        assert!(samples["process_open_fds"] <= samples["process_max_fds"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn there_are_as_many_series_as_documented() {
    let documented = include_str!("../docs/metrics.md").split_once("There are ").unwrap().1;
    let mut numbers = documented.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.find_map(|number| number.parse::<usize>().ok()).unwrap();
    let [fixed, of_log, of_route, of_upstream, of_endpoint, of_checks] =
        std::array::from_fn(|_| next());
    let count = |words: &[&str]| checked(&Admin::start(words).get("/metrics").text()).len();
    let one = count(&["--route", "/=127.0.0.1:1"]);
    assert_eq!(one, fixed + of_route + of_upstream + of_endpoint);
    assert_eq!(count(&["--route", "/=127.0.0.1:1", "--check", "tcp"]), one + of_checks);
    let log = temporary("access.log");
    let two = ["--route", "/=127.0.0.1:1,127.0.0.1:2", "--access-log", log.to_str().unwrap()];
    assert_eq!(count(&two), one + of_log + of_endpoint);
}

#[test]
fn buckets_are_cumulated_to_the_count() {
    let admin = Admin::before(&[&Origin::named("o")], &[]);
    admin.client().get("/");
    let samples = checked(&admin.get("/metrics").text());
    let name = "evener_request_duration_seconds";
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (sample, value) in &samples {
        let bound = sample.strip_prefix(&format!("{name}_bucket{{le=\""));
        let Some(bound) = bound.map(|rest| rest.trim_end_matches("\"}")) else { continue };
        buckets.push((bound.replace("+Inf", "inf").parse().unwrap(), *value));
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
    let (first, last) = (buckets[0], buckets[buckets.len() - 1]);
    assert_eq!((first.0, last.0), (0.0001, f64::INFINITY));
    assert_eq!(samples[&format!("{name}_count")], last.1);
}

#[test]
fn the_counts_match_what_clients_did() {
    let origin = Origin::answering(ok("1234567"));
    let log = temporary("access.log");
    let admin = Admin::before(&[&origin], &["--access-log", log.to_str().unwrap()]);
    let mut client = admin.client();
    for _ in 0..5 {
        client.get("/");
        assert_eq!(client.response().status, 200);
    }
    let refused = admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n").status;
    assert_eq!(refused, 400);
    eventually("it has left", || admin.metric("evener_connections_active") == 1);
    let written = "evener_access_log_lines_total{result=\"written\"}";
    eventually("the lines are written", || admin.metric(written) == 6);
    let at = format!("upstream=\"/\",endpoint=\"{}\"", origin.address);
    let samples = checked(&admin.get("/metrics").text());
    let rows = [
        ("evener_connections_accepted_total", 2.0),
        ("evener_connections_active", 1.0),
        ("evener_requests_read_total", 5.0),
        ("evener_responses_total{class=\"2xx\"}", 5.0),
        ("evener_responses_total{class=\"4xx\"}", 1.0),
        ("evener_rejects_total{reason=\"obs_fold\"}", 1.0),
        ("evener_upstream_connections_opened_total", 1.0),
        ("evener_upstream_connections_reused_total", 4.0),
        ("evener_request_duration_seconds_count", 6.0),
        ("evener_requests_total{route=\"/\",upstream=\"/\",class=\"2xx\"}", 5.0),
        ("evener_route_duration_seconds_count{route=\"/\"}", 5.0),
        ("evener_route_duration_seconds_bucket{route=\"/\",le=\"60\"}", 5.0),
        ("evener_upstream_duration_seconds_count{upstream=\"/\"}", 5.0),
        ("evener_retries_total", 0.0),
        ("evener_accept_errors_total", 0.0),
        (&format!("evener_endpoint_requests_total{{{at}}}"), 5.0),
        (&format!("evener_endpoint_connections_reused_total{{{at}}}"), 4.0),
        (&format!("evener_endpoint_state{{{at},state=\"up\"}}"), 1.0),
        (&format!("evener_endpoint_state{{{at},state=\"drained\"}}"), 0.0),
    ];
    for (sample, value) in rows {
        assert_eq!(samples.get(sample), Some(&value), "{sample} in {samples:#?}");
    }
    assert!(samples["evener_client_sent_bytes_total"] >= 5.0 * 7.0);
    let status = admin.status();
    assert_eq!(
        (&status["requests"]["total"], &status["rejects"]["obs_fold"], &status["log"]["written"]),
        (&5.into(), &1.into(), &6.into())
    );
}

#[test]
fn the_time_of_the_configuration_is_that_of_the_last_reload_applied() {
    let since_1970 = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let path = temporary("conf.yaml");
    let write = |more: &str| {
        let text = format!(
            "listen: 127.0.0.1:0\nroutes: [{{prefix: /, endpoints: [\"127.0.0.1:1\"]}}]\n{more}"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("");
    let before = since_1970();
    let admin = Admin::start(&["-c", path.to_str().unwrap()]);
    let loaded = || admin.metric("evener_config_loaded_timestamp_seconds");
    let first = loaded();
    assert!((before..=since_1970()).contains(&first), "{first}");
    eventually("a second has passed", || since_1970() > first);
    write("max_idle: x\n");
    assert_eq!((admin.post("/reload").status, loaded()), (422, first));
    write("");
    assert_eq!((admin.post("/reload").status, loaded() > first), (200, true));
}

#[test]
fn an_answer_that_its_client_leaves_is_no_fault_of_the_endpoint() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send([ok_head(HUGE), filler(HUGE)].concat());
    });
    let admin = Admin::before(&[&origin], &[]);
    let mut client = admin.client();
    client.get("/");
    client.exactly(1000);
    drop(client);
    let cut = |by: &str| admin.metric(&format!("evener_cut_answers_total{{by=\"{by}\"}}"));
    eventually("it is cut", || cut("client") == 1);
    assert_eq!((cut("upstream"), cut("evener")), (0, 0));
    assert_eq!(admin.status()["requests"]["cut_answers"], 1);
}
