//! Rules and dashboard of tools/deploy/: they name only metrics and labels that are documented, and each alert is
//! explained and tested.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::documents::{anchor_of, code_spans, prose};
use super::source::is_word;
use super::{read, verdict};

const METRICS: &str = "docs/metrics.md";
const RULES: &str = "tools/deploy/prometheus/evener.rules.yml";
const TESTS: &str = "tools/deploy/prometheus/evener.rules.test.yml";
const DASHBOARD: &str = "tools/deploy/grafana/evener.json";
const ALERTS: &str = "docs/alerts.md";

/// What Prometheus adds to every series, and what rules and dashboards make of them.
const LABELS: [&str; 6] = ["job", "instance", "le", "alertname", "alertstate", "severity"];

#[test]
fn rules_and_dashboard_name_metrics_and_labels_that_exist() {
    let known = documented(&read(METRICS));
    assert!(known.len() > 80, "{METRICS} has {} metrics", known.len());
    let files = [RULES, TESTS].map(|path| (path, read(path)));
    let mut found: Vec<_> =
        files.iter().flat_map(|(path, text)| unknown(path, text, &known)).collect();
    for (title, expression) in expressions() {
        found.extend(unknown(&format!("{DASHBOARD}: {title}"), &expression, &known));
    }
    verdict(&found, &format!("name what {METRICS} has"));
}

#[test]
fn what_does_not_exist_is_found() {
    let known = documented(
        "| `evener_a_total{x}`, `evener_b` | counter | … |\n| `evener_c` | histogram | … |",
    );
    let text = "sum by (x) (rate(evener_a_total{x=~\"1\"}[5m])) / evener_b{job=\"j\"} + evener_c_bucket{le=\"1\"}";
    assert_eq!(unknown("f", text, &known), Vec::<String>::new());
    let wrong = "evener_a + evener_b{x=\"1\"} + evener_b_bucket + evener_c_sum{y!=\"2\"}";
    let expected = [
        "f: `evener_a`",
        "f: `x` of `evener_b`",
        "f: `evener_b_bucket`",
        "f: `y` of `evener_c_sum`",
    ];
    assert_eq!(unknown("f", wrong, &known), expected);
}

#[test]
fn every_alert_is_explained_tested_and_linked() {
    let (rules, tests, explained) = (read(RULES), read(TESTS), read(ALERTS));
    let headings: BTreeSet<_> = prose(&explained)
        .filter_map(|(_, line)| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect();
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 30, "{} alerts", alerts.len());
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap().to_owned();
        let repository = env!("CARGO_PKG_REPOSITORY");
        let link = format!(
            " {repository}/blob/main/{ALERTS}#{}\n",
            anchor_of(&format!("### {name}")).unwrap()
        );
        let has = [
            ("a heading in docs/alerts.md", headings.contains(&name)),
            ("a test", tests.contains(&format!("alertname=\"{name}\""))),
            ("a severity", alert.contains("severity: ")),
            ("a description", alert.contains("description: ")),
            ("its runbook_url", alert.contains(&link)),
        ];
        found.extend(
            has.iter().filter(|(_, has)| !has).map(|(what, _)| format!("{name}: no {what}")),
        );
        names.insert(name);
    }
    found.extend(headings.difference(&names).map(|name| format!("{ALERTS}: no alert {name}")));
    verdict(&found, "add it");
}

#[test]
fn the_panels_of_the_dashboard_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect(DASHBOARD);
    let mut taken = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(
            ids.insert(panel["id"].as_u64().expect("an id")),
            "an id comes twice: {}",
            panel["title"]
        );
        let place = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{} is too far to the right", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                let other = taken.insert((x, y), &panel["title"]);
                assert_eq!(other, None, "{} is over it", panel["title"]);
            }
        }
    }
}

/// The metrics that a document describes in its tables: their labels, by the names of their series.
fn documented(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    for (_, row) in prose(text).filter(|(_, line)| line.starts_with("| `")) {
        let mut cells = row.split(" | ");
        let (names, kind) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        for span in code_spans(names) {
            let (name, labels) = span.split_once('{').unwrap_or((span, "}"));
            let labels: BTreeSet<_> = labels
                .trim_end_matches('}')
                .split(',')
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
                .collect();
            let suffixes: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            for suffix in suffixes {
                known.insert(format!("{name}{suffix}"), labels.clone());
            }
        }
    }
    known
}

/// The names of metrics in this text, and labels in their selectors, that are not among these.
fn unknown(place: &str, text: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for start in starts(text) {
        let rest = &text[start..];
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let name = &rest[..end];
        let Some(labels) = known.get(name) else {
            found.push(format!("{place}: `{name}`"));
            continue;
        };
        let Some(selector) = rest[end..].strip_prefix('{').and_then(|rest| rest.split('}').next())
        else {
            continue;
        };
        let named = selector.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
        let wrong = named.map(str::trim).filter(|label| {
            !label.is_empty() && !LABELS.contains(label) && !labels.contains(*label)
        });
        found.extend(wrong.map(|label| format!("{place}: `{label}` of `{name}`")));
    }
    found
}

/// Where names of metrics begin: not within a recorded name such as `job:evener_errors:rate5m`.
fn starts(text: &str) -> impl Iterator<Item = usize> {
    let all = ["evener_", "process_"].into_iter().flat_map(|prefix| text.match_indices(prefix));
    all.map(|(at, _)| at)
        .filter(|at| !text[..*at].ends_with(|letter| is_word(letter) || letter == ':'))
}

/// The queries of the dashboard, with the titles of their panels.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect(DASHBOARD);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let targets = panel["targets"].as_array().into_iter().flatten();
        found.extend(targets.map(|target| (text(&panel["title"]), text(&target["expr"]))));
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        found.push((text(&annotation["name"]), text(&annotation["expr"])));
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        found.push((text(&variable["name"]), text(&variable["definition"])));
    }
    assert!(found.len() > 80, "{} queries", found.len());
    found
}
