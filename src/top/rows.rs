//! From two readings to what is shown: rates, latencies of the last interval, and a row for each endpoint,
//! upstream and route.

use std::collections::HashMap;

use super::grid::{Cell, Column, Grid, GridRow, Tone};
use super::quantile::{Quantile, grown, number, quantile};
use super::reading::{EndpointReading, RouteReading, StatusReading, UpstreamReading};
use super::text::{age, count, percent, rate, shown};

/// What the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Endpoints,
    Upstreams,
    Routes,
}

impl View {
    /// All of them, in the order of their tabs.
    pub(super) const ALL: [Self; 3] = [Self::Endpoints, Self::Upstreams, Self::Routes];

    /// As it is shown.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Endpoints => "Endpoints",
            Self::Upstreams => "Upstreams",
            Self::Routes => "Routes",
        }
    }

    /// Its columns.
    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Endpoints => &ENDPOINTS,
            Self::Upstreams => &UPSTREAMS,
            Self::Routes => &ROUTES,
        }
    }

    /// The column of states, by which rows are sorted at first: what is wrong comes first.
    pub(super) fn state_column(self) -> usize {
        self.columns().iter().position(|column| column.title == "STATE").unwrap_or_default()
    }
}

const fn text_column(title: &'static str, rank: u8) -> Column {
    Column { title, is_text: true, rank }
}

const fn number_column(title: &'static str, rank: u8) -> Column {
    Column { title, is_text: false, rank }
}

const ENDPOINTS: [Column; 9] = [
    text_column("ENDPOINT", 0),
    text_column("UPSTREAM", 3),
    text_column("STATE", 1),
    number_column("REQ/S", 2),
    number_column("IN FLIGHT", 5),
    number_column("FAIL/S", 4),
    number_column("FAILURES", 6),
    number_column("IDLE", 7),
    number_column("WEIGHT", 8),
];

const UPSTREAMS: [Column; 10] = [
    text_column("UPSTREAM", 0),
    text_column("STATE", 1),
    number_column("UP", 3),
    number_column("REQ/S", 2),
    number_column("P50", 6),
    number_column("P99", 4),
    number_column("IN FLIGHT", 7),
    number_column("WAITING", 8),
    number_column("FAIL/S", 5),
    text_column("POLICY", 9),
];

const ROUTES: [Column; 9] = [
    text_column("ROUTE", 0),
    text_column("UPSTREAM", 7),
    text_column("STATE", 1),
    number_column("REQ/S", 2),
    number_column("5XX/S", 3),
    number_column("P50", 5),
    number_column("P99", 4),
    number_column("SHARE", 6),
    number_column("REQUESTS", 8),
];

/// All that is shown of one moment. Numbers that are not known are NaN.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) state: String,
    pub(super) uptime: f64,
    pub(super) generation: u64,
    /// Why the last reload was refused, if it was.
    pub(super) refused: Option<String>,
    /// The upstreams that have nobody to ask.
    pub(super) unavailable: Vec<String>,
    /// Requests per second.
    pub(super) requests: f64,
    pub(super) in_flight: f64,
    /// Responses per second of the classes 4xx and 5xx.
    pub(super) errors: [f64; 2],
    /// Further attempts per second.
    pub(super) retries: f64,
    /// Latency at the median and at the 99th percentile.
    pub(super) quantiles: [Quantile; 2],
    pub(super) connections: f64,
    pub(super) connections_max: f64,
    /// Connections per second.
    pub(super) accepted: f64,
    /// Bytes per second to endpoints, and to clients.
    pub(super) bytes: [f64; 2],
    /// One for each [`View`].
    pub(super) grids: [Grid; 3],
}

/// What has grown since the reading before, if there is one of the same process.
#[derive(Clone, Copy)]
struct Growth<'a> {
    before: Option<&'a StatusReading>,
    seconds: f64,
}

impl<'a> Growth<'a> {
    fn per_second(self, now: u64, before: Option<u64>) -> f64 {
        // A counter that went back belongs to something else by the same name.
        let grown = before.and_then(|before| now.checked_sub(before));
        grown.map_or(f64::NAN, |grown| number(grown) / self.seconds)
    }

    fn of(self, now: &StatusReading, counter: impl Fn(&StatusReading) -> u64) -> f64 {
        self.per_second(counter(now), self.before.map(counter))
    }

    fn upstreams(self) -> HashMap<&'a str, &'a UpstreamReading> {
        let all = self.before.iter().flat_map(|before| &before.upstreams);
        all.map(|upstream| (&*upstream.name, upstream)).collect()
    }

    fn routes(self) -> HashMap<(&'a str, &'a str), &'a RouteReading> {
        let all = self.before.iter().flat_map(|before| &before.routes);
        all.map(|route| ((&*route.route, &*route.upstream), route)).collect()
    }
}

impl Figures {
    /// Of a reading, and of the one before that came so many seconds earlier.
    pub(super) fn of(now: &StatusReading, before: Option<(&StatusReading, f64)>) -> Self {
        let before = before.filter(|(before, seconds)| before.pid == now.pid && *seconds > 0.0);
        let (before, seconds) =
            before.map_or((None, 1.0), |(before, seconds)| (Some(before), seconds));
        let growth = Growth { before, seconds };
        let class = |name: &'static str| {
            move |reading: &StatusReading| of_class(&reading.requests.classes, name)
        };
        let buckets = grown(&now.latency.buckets, before.map(|before| &before.latency.buckets));
        Self {
            version: shown(&now.version),
            state: shown(&now.state),
            uptime: now.uptime_seconds,
            generation: now.config.generation,
            refused: now.config.refused.as_deref().map(shown),
            unavailable: now.unavailable.iter().map(|name| shown(name)).collect(),
            requests: growth.of(now, |reading| reading.requests.total),
            in_flight: number(now.requests.in_flight),
            errors: ["4xx", "5xx"].map(|name| growth.of(now, class(name))),
            retries: growth.of(now, |reading| reading.requests.retries),
            quantiles: [0.5, 0.99].map(|share| quantile(share, &buckets)),
            connections: number(now.connections.active),
            connections_max: number(now.connections.max),
            accepted: growth.of(now, |reading| reading.connections.accepted),
            bytes: [
                growth.of(now, |reading| reading.bytes.up),
                growth.of(now, |reading| reading.bytes.down),
            ],
            grids: [endpoints(now, growth), upstreams(now, growth), routes(now, growth)],
        }
    }
}

fn endpoints(now: &StatusReading, growth: Growth<'_>) -> Grid {
    let before = growth.upstreams();
    let mut rows = Vec::new();
    for upstream in &now.upstreams {
        let known = before.get(&*upstream.name).into_iter().flat_map(|known| &known.endpoints);
        let known: HashMap<_, _> = known.map(|endpoint| (&*endpoint.address, endpoint)).collect();
        for endpoint in &upstream.endpoints {
            let known = known.get(&*endpoint.address).copied();
            rows.push(endpoint_row(endpoint, upstream, known, growth));
        }
    }
    Grid { columns: &ENDPOINTS, rows }
}

fn endpoint_row(
    endpoint: &EndpointReading,
    upstream: &UpstreamReading,
    before: Option<&EndpointReading>,
    growth: Growth<'_>,
) -> GridRow {
    let requests = growth.per_second(endpoint.requests, before.map(|before| before.requests));
    let failures = growth.per_second(endpoint.failures, before.map(|before| before.failures));
    let role = if endpoint.backup { " (backup)" } else { "" };
    let whole = |value: u64| Cell::number(number(value), count(number(value)));
    let (tone, severity) = of_state(&endpoint.state);
    let cells = vec![
        Cell::text(shown(&endpoint.address)),
        Cell::text(format!("{}{role}", shown(&upstream.name))),
        Cell::number(severity, shown(&endpoint.state)),
        Cell::number(requests, rate(requests)),
        whole(endpoint.in_flight),
        Cell::number(failures, rate(failures)),
        whole(endpoint.failures),
        whole(endpoint.connections.idle),
        whole(endpoint.weight),
    ];
    let key = (upstream.name.clone(), endpoint.address.clone());
    GridRow { key, cells, tone, note: note(endpoint) }
}

/// What else is known of an endpoint.
fn note(endpoint: &EndpointReading) -> String {
    let mut parts = Vec::new();
    if endpoint.name != endpoint.address {
        parts.push(shown(&endpoint.name));
    }
    if let Some(why) = &endpoint.why {
        parts.push(shown(why));
    }
    let since = endpoint.since_seconds.filter(|_| endpoint.state != "up");
    parts.extend(since.map(|since| format!("for {}", age(since))));
    let then = if endpoint.state == "ejected" { "tried again in" } else { "ends in" };
    parts.extend(endpoint.until_seconds.map(|until| format!("{then} {}", age(until))));
    let last = endpoint.last_failures.iter().min_by(|a, b| a.seconds_ago.total_cmp(&b.seconds_ago));
    // Of an endpoint that is not up, the reason has said so.
    if let Some(last) = last.filter(|_| endpoint.state == "up") {
        parts.push(format!("last failure {} ago: {}", age(last.seconds_ago), shown(&last.what)));
    }
    parts.join(" · ")
}

/// How a state looks, and how bad it is.
fn of_state(state: &str) -> (Tone, f64) {
    match state {
        "up" | "available" => (Tone::Well, 0.0),
        "drained" => (Tone::Idle, 1.0),
        "trial" => (Tone::Warning, 2.0),
        "ejected" | "impaired" => (Tone::Warning, 3.0),
        _ => (Tone::Bad, 4.0),
    }
}

fn upstreams(now: &StatusReading, growth: Growth<'_>) -> Grid {
    let before = growth.upstreams();
    let row = |upstream: &UpstreamReading| {
        let known = before.get(&*upstream.name).copied();
        upstream_row(upstream, known, growth)
    };
    Grid { columns: &UPSTREAMS, rows: now.upstreams.iter().map(row).collect() }
}

fn upstream_row(
    upstream: &UpstreamReading,
    before: Option<&UpstreamReading>,
    growth: Growth<'_>,
) -> GridRow {
    let sum = |of: fn(&EndpointReading) -> u64| {
        move |upstream: &UpstreamReading| upstream.endpoints.iter().map(of).sum::<u64>()
    };
    let requests = growth.per_second(upstream.requests, before.map(|before| before.requests));
    let failures = sum(|endpoint| endpoint.failures);
    let failures = growth.per_second(failures(upstream), before.map(failures));
    let in_flight = number(sum(|endpoint| endpoint.in_flight)(upstream));
    let waiting = upstream.ceiling.as_ref().map_or(0.0, |ceiling| number(ceiling.waiting));
    let buckets = grown(&upstream.latency.buckets, before.map(|before| &before.latency.buckets));
    let all = upstream.endpoints.len() as u64;
    let up = upstream.endpoints.iter().filter(|endpoint| endpoint.state == "up").count() as u64;
    let state = match &*upstream.availability {
        "available" if up < all => "impaired",
        known => known,
    };
    let (tone, severity) = of_state(state);
    let cells = vec![
        Cell::text(shown(&upstream.name)),
        Cell::number(severity, shown(state)),
        Cell::number(number(up) / number(all), format!("{up}/{all}")),
        Cell::number(requests, rate(requests)),
        quantile(0.5, &buckets).cell(),
        quantile(0.99, &buckets).cell(),
        Cell::number(in_flight, count(in_flight)),
        Cell::number(waiting, count(waiting)),
        Cell::number(failures, rate(failures)),
        Cell::text(shown(&upstream.policy).replace('_', " ")),
    ];
    let note = format!(
        "{} endpoints of {}",
        shown(&upstream.traffic).to_uppercase(),
        shown(&upstream.name)
    );
    GridRow { key: (upstream.name.clone(), String::new()), cells, tone, note }
}

fn routes(now: &StatusReading, growth: Growth<'_>) -> Grid {
    let before = growth.routes();
    let known = |route: &RouteReading| before.get(&(&*route.route, &*route.upstream)).copied();
    let requests = |route: &RouteReading| {
        growth.per_second(route.requests, known(route).map(|before| before.requests))
    };
    let all: f64 = now.routes.iter().map(requests).filter(|rate| rate.is_finite()).sum();
    let row = |route: &RouteReading| {
        let requests = requests(route);
        let failed = |route: &RouteReading| of_class(&route.classes, "5xx");
        let failed = growth.per_second(failed(route), known(route).map(failed));
        let buckets =
            grown(&route.latency.buckets, known(route).map(|before| &before.latency.buckets));
        let (tone, severity) = of_state(&route.availability);
        let cells = vec![
            Cell::text(shown(&route.route)),
            Cell::text(shown(&route.upstream)),
            Cell::number(severity, shown(&route.availability)),
            Cell::number(requests, rate(requests)),
            Cell::number(failed, rate(failed)),
            quantile(0.5, &buckets).cell(),
            quantile(0.99, &buckets).cell(),
            Cell::number(requests / all, percent(requests, all)),
            Cell::number(number(route.requests), count(number(route.requests))),
        ];
        let note = match &*route.upstream {
            "" => "answered by Evener itself".to_owned(),
            upstream => format!("goes to {}", shown(upstream)),
        };
        GridRow { key: (route.upstream.clone(), route.route.clone()), cells, tone, note }
    };
    Grid { columns: &ROUTES, rows: now.routes.iter().map(row).collect() }
}

fn of_class(classes: &std::collections::BTreeMap<String, u64>, name: &str) -> u64 {
    classes.get(name).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::{reading, status};
    use super::*;

    fn figures(now: &Value, before: &Value) -> Figures {
        Figures::of(&reading(now), Some((&reading(before), 2.0)))
    }

    fn texts(figures: &Figures, view: View, row: usize) -> Vec<&str> {
        figures.grids[view as usize].rows[row].cells.iter().map(|cell| cell.text.as_str()).collect()
    }

    #[test]
    fn rates_are_those_of_the_last_interval() {
        let figures = figures(&status(300), &status(100));
        assert_eq!(
            (figures.requests, figures.errors, figures.bytes[1]),
            (100.0, [0.0, 10.0], 102_400.0)
        );
        let [first, second] = [0, 1].map(|row| texts(&figures, View::Endpoints, row));
        assert_eq!(first, ["10.0.0.1:80", "app", "up", "100", "2", "0", "0", "3", "1"]);
        assert_eq!(second, ["10.0.0.2:80", "app (backup)", "down", "0", "0", "0", "3", "3", "2"]);
        let upstream = texts(&figures, View::Upstreams, 0);
        assert_eq!(upstream[..4], ["app", "impaired", "1/2", "100"]);
        assert_eq!(upstream[4..6], ["500 µs", "990 µs"]);
        let route = texts(&figures, View::Routes, 0);
        assert_eq!(route[..4], ["/auth", "app", "available", "100"]);
        assert_eq!(route[5..], ["500 µs", "990 µs", "100 %", "300"]);
    }

    #[test]
    fn without_a_reading_of_the_same_process_before_no_rate_is_known() {
        let mut other = status(100);
        other["pid"] = json!(8);
        for figures in [figures(&status(300), &other), Figures::of(&reading(&status(300)), None)] {
            assert!(figures.requests.is_nan() && figures.quantiles[0].seconds.is_nan());
            assert_eq!(texts(&figures, View::Endpoints, 0)[3..5], ["–", "2"]);
        }
        assert!(figures(&status(100), &status(300)).requests.is_nan());
    }

    #[test]
    fn an_endpoint_says_why_it_is_not_up() {
        let mut now = status(1);
        let note = |now: &Value, row: usize| {
            let figures = figures(now, &status(1));
            figures.grids[0].rows[row].note.clone()
        };
        let why = "endpoint refused the connection (ECONNREFUSED)";
        assert_eq!(note(&now, 1), format!("b.example:80 · {why} · for 1 min 1 s"));
        let endpoint = &mut now["upstreams"][0]["endpoints"][0];
        endpoint["last_failures"] =
            json!([{"seconds_ago": 9.0, "what": "x"}, {"seconds_ago": 3.0, "what": why}]);
        assert_eq!(note(&now, 0), format!("last failure 3 s ago: {why}"));
        let endpoint = &mut now["upstreams"][0]["endpoints"][0];
        (endpoint["state"], endpoint["until_seconds"]) = (json!("ejected"), json!(4.0));
        assert_eq!(note(&now, 0), "tried again in 4 s");
    }

    #[test]
    fn what_names_say_does_not_reach_the_terminal_as_control_characters() {
        let mut now = status(1);
        for name in [
            "/routes/0/route",
            "/upstreams/0/name",
            "/upstreams/0/endpoints/1/why",
            "/config/refused",
            "/state",
        ] {
            *now.pointer_mut(name).expect(name) = json!("a\u{1b}[2J\n");
        }
        let figures = figures(&now, &status(1));
        let all = figures.grids.iter().flat_map(|grid| &grid.rows);
        let cells = all.flat_map(|row| row.cells.iter().map(|cell| &cell.text).chain([&row.note]));
        let others = [&figures.state, figures.refused.as_ref().expect("refused")];
        for text in cells.chain(others) {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}
