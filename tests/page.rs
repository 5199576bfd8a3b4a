//! The page of the admin listener, as text: what needs a browser is in tools/page.

use std::collections::BTreeSet;

use crate::support::{Admin, Origin};

const PAGE: &str = include_str!("../src/admin/page.html");

/// Fields of `/status` of one word, which the page has to read to show what it promises.
const FIELDS: [&str; 22] = [
    "routes",
    "route",
    "upstream",
    "availability",
    "classes",
    "latency",
    "buckets",
    "requests",
    "handshakes",
    "versions",
    "failed",
    "resumed",
    "http2",
    "tcp",
    "opened",
    "certificates",
    "discovery",
    "endpoints",
    "why",
    "ceiling",
    "waiting",
    "sticky",
];

/// The words of the paths of fields that docs/status.md names.
fn documented() -> BTreeSet<&'static str> {
    let rows = include_str!("../docs/status.md").lines().filter(|line| line.starts_with("| `"));
    let fields = rows.filter_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split('`'));
    fields.flat_map(|path| path.split(['.', '[', ']', '*', ' ', ','])).collect()
}

/// The words after a dot in the page, and those quoted.
fn read() -> BTreeSet<&'static str> {
    let script = PAGE.split("<script>").last().expect("a script");
    let is_of_word = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let word = |text: &'static str| text.split(|sign| !is_of_word(sign)).next().unwrap_or("");
    script.split(['.', '"']).map(word).filter(|word| !word.is_empty()).collect()
}

#[test]
fn the_page_reads_only_fields_that_are_documented() {
    let (read, documented) = (read(), documented());
    let fields: BTreeSet<_> = read.iter().copied().filter(|word| word.contains('_')).collect();
    assert!(fields.len() > 15, "{fields:?}");
    let unknown: Vec<_> = fields.difference(&documented).collect();
    assert!(unknown.is_empty(), "src/admin/page.html reads {unknown:?}: not in docs/status.md");
    for field in FIELDS {
        assert!(documented.contains(field), "docs/status.md has no {field:?}");
        assert!(read.contains(field), "the page does not read {field:?}");
    }
}

/// Names come from configurations and responses: none may become markup.
#[test]
fn the_page_writes_text_and_never_markup() {
    let ways = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "eval(",
        "new Function",
        "setTimeout(\"",
        "javascript:",
    ];
    for way in ways {
        assert!(!PAGE.contains(way), "{way}");
    }
    let handlers = ["onclick", "onload", "onerror", "onsubmit", "oninput", "onchange"];
    for handler in handlers {
        assert!(!PAGE.contains(&format!("{handler}=")), "{handler}");
    }
}

#[test]
fn the_page_loads_nothing() {
    for loads in [" src=", "<link rel=\"stylesheet", "@import", "url(http", "url(//", "import("] {
        assert!(!PAGE.contains(loads), "{loads}");
    }
    let addresses = PAGE.match_indices("://").map(|(at, _)| &PAGE[at..]);
    let foreign: Vec<_> =
        addresses.filter(|rest| !rest.starts_with("://www.w3.org/2000/svg")).collect();
    assert!(foreign.is_empty(), "{} addresses of other hosts", foreign.len());
}

#[test]
fn the_page_may_talk_to_nobody_but_its_listener() {
    let admin = Admin::before(&[&Origin::named("o")], &[]);
    let page = admin.get("/");
    let policy: BTreeSet<_> = page.field("Content-Security-Policy").unwrap().split("; ").collect();
    let expected = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "script-src 'unsafe-inline'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ];
    assert_eq!(policy, BTreeSet::from(expected));
    assert_eq!(page.text(), PAGE);
}
