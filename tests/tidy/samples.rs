//! Checks the rules themselves against samples.

use std::collections::BTreeSet;

use super::Rule;
use super::documents::{dangling_paths, unnamed_flags, unnamed_metrics};
use super::house::{impurities, parent_globs, stray_unsafe, unexplained_unsafe, upward_imports};
use super::imports::imports;
use super::shape::{guards_with_let, leftovers, long_files, long_functions, vague_modules};
use super::source::{Kind, Source, functions, keep};
use super::specification::{tests_of, unlisted_tests, unnamed_rejects, untested_rows};

/// A file that violates one rule on the given line, or on none (0) although it looks like it.
#[rustfmt::skip]
const SAMPLES: &[(Rule, &str, &str, usize)] = &[
    (upward_imports, "src/http/message/head.rs", "use crate::net::pool::Pool;", 1),
    (upward_imports, "src/http/message/head.rs", "use crate::{\n    fault::Fault,\n    net::{pool as p},\n};", 3),
    (upward_imports, "src/http/message/head.rs", "\nfn f() { crate::session::spawn(1) }", 2),
    (upward_imports, "src/http/message/head.rs", "use crate::http::h1::framing::Framing;", 1),
    (upward_imports, "src/http/message/head.rs", "use super::Head;", 1),
    (upward_imports, "src/reject.rs", "use crate::fault::Fault;", 1),
    (upward_imports, "src/route/mod.rs", "use crate::VERSION;", 1),
    (upward_imports, "src/control/signals.rs", "pub use super::takeover::run;", 1),
    (upward_imports, "src/novel.rs", "", 1),
    (impurities, "src/http/message/head.rs", "use std::net::{IpAddr, TcpStream};", 1),
    (impurities, "src/fault.rs", "fn f() {\n    warn!(\"x\");\n}", 2),
    (stray_unsafe, "src/net/pool.rs", "fn f() { unsafe { g() } }", 1),
    (unexplained_unsafe, "src/net/pool.rs", "// quick\nlet x = unsafe { g() };", 2),
    (leftovers, "src/worker/mod.rs", concat!("// TO", "DO: later"), 1),
    (leftovers, "src/worker/mod.rs", "\nfn f() { println!() }", 2),
    (parent_globs, "src/worker/mod.rs", "mod inner { use super::*; }", 1),
    (vague_modules, "src/lib.rs", "mod worker;\nmod util;", 2),
    (guards_with_let, "src/worker/mod.rs", "match a {\n    b if let Some(c) = d::<u8>(a) => {}\n}", 2),
    (guards_with_let, "src/worker/mod.rs", "if let Some(a) = b && c >= d { match a { _ => {} } }", 0),
    (upward_imports, "src/http/message/head.rs", "use super::field::{self, Field};\nuse crate::{fault::Fault, route};", 0),
    (upward_imports, "src/http/message/head.rs", "#[cfg(test)]\nmod tests { use crate::worker; use super::*; }", 0),
    (upward_imports, "src/http/message/head.rs", "// crate::worker\npub(in crate::http) fn f() { g(\"crate::worker\") }", 0),
    (upward_imports, "src/control/mod.rs", "mod takeover;\npub use running::run;\nuse self::signals::Signal;", 0),
    (impurities, "src/http/message/head.rs", "use std::net::IpAddr; fn f(operand: u8, catalog::X: u8) {} // tokio", 0),
    (impurities, "src/net/pool.rs", "use tokio::net::TcpStream;", 0),
    (unexplained_unsafe, "src/net/pool.rs", "// SAFETY: g\n// is sound.\nlet x = unsafe { g() };", 0),
    (leftovers, "src/main.rs", concat!("fn f() { println!(\"XX", "X\") }"), 0),
    (parent_globs, "src/worker/mod.rs", "#[cfg(test)]\nmod tests { use super::*; }", 0),
];

#[test]
fn each_rule_finds_its_breaches_and_no_others() {
    for (rule, path, text, line) in SAMPLES {
        let lines: Vec<_> = rule(&Source::new(path, text))
            .iter()
            .map(|found| found.split(':').nth(1).map(String::from))
            .collect();
        let expected = (*line > 0).then(|| Some(line.to_string()));
        assert_eq!(lines, Vec::from_iter(expected), "{path}: {text}");
    }
}

#[test]
fn lengths_are_counted_past_braces_that_are_not_code() {
    let body = "    g(\"}\", '}', r#\"}\"#); // }\n".repeat(69);
    let long = Source::new(
        "src/worker/mod.rs",
        &format!("\nfn f<'a>(x: [u8; 2]) {{\n{body}}}\nfn g() {{}}\n"),
    );
    let counted: Vec<_> =
        functions(&long.code).into_iter().map(|(_, name, lines)| (name, lines)).collect();
    assert_eq!(counted, [("f", 71), ("g", 1)]);
    assert!(long_functions(&long)[0].starts_with("src/worker/mod.rs:2: `f` has 71 lines"));
    assert_eq!(long_files(&Source::new("src/worker/mod.rs", &"\n".repeat(501))).len(), 1);
}

#[test]
fn literals_and_comments_are_distinguished_from_code() {
    let cases = [
        ("a /* b /* c */ d */ e // f", "a e"),
        (r#"a "b \" c \\" d b"e" 'f' '\'' '\u{1F}' b'"' g"#, "a d g"),
        (r###"a r"\" b br#"c " d"# e r##"f "# g"## h c"i""###, "a b e h"),
        (
            "fn f<'a>(x: &'a str, r#type: char) {} '{' 'é' \"é\" y",
            "fn f<'a>(x: &'a str, r#type: char) {} y",
        ),
    ];
    for (text, code) in cases {
        let kept = keep(text, &[Kind::Code]);
        assert_eq!(kept.len(), text.len(), "offsets moved in {text}");
        assert_eq!(kept.split_whitespace().collect::<Vec<_>>().join(" "), code);
    }
}

#[test]
fn imports_are_spelled_from_the_root() {
    let text = "use super::{field::{self, Field as F}, head};\nuse crate::{a, b::*};\nfn f() { crate::c::<u8>(super::super::d) }";
    let source = Source::new("src/http/framing.rs", text);
    let found: BTreeSet<_> = imports(&source).iter().map(|(_, path)| path.join("::")).collect();
    let expected = ["http::field", "http::field::Field", "http::head", "a", "b", "c", "d"];
    assert_eq!(found, expected.map(String::from).into());
}

#[test]
fn documents_are_held_to_the_code() {
    let rejects = Source::new(
        "src/reject.rs",
        "pub enum Reject {\n    #[a(b, c)]\n    Bad(u8, u8),\n    Worse { x: u8 },\n}",
    );
    let found = unnamed_rejects(&rejects, "| `Reject::Bad` | Worse |");
    assert!(found.len() == 1 && found[0].starts_with("src/reject.rs:4: "), "{found:?}");

    let flags = "#[arg(\n short, long,\n default_value = \"long\")]\n/// Doc.\n#[x]\npub(crate) idle_max: u8,\n#[arg(long = \"be\")] b: u8,";
    let found = unnamed_flags(&Source::new("src/config/cli.rs", flags), "`--be`, `--idle-max-x`");
    assert!(found.len() == 1 && found[0].ends_with(":1: undocumented `--idle-max`"), "{found:?}");

    let metrics =
        "# HELP a_b Text.\n# TYPE a_b gauge\na_b 1\n# HELP a_c Text.\n# TYPE a_c gauge\na_c 1\n";
    assert_eq!(unnamed_metrics(metrics, "| `a_b{c}` | a_cd |"), ["undocumented `a_c`"]);

    let document = "[a](https://a.b) [b](#c-d) [`x`](no.md#d)\n```\n[c](no.md)\n```\n`src/no.rs` `tests/main.rs` `src`\n## C d\n[e](#e)";
    assert_eq!(dangling_paths("A.md", document).len(), 3);
    let document = "[a](../README.md) [b](CONTRIBUTING.md) [c](../CONTRIBUTING.md#fuzzing) [d](../README.md#no)";
    assert_eq!(dangling_paths("docs/a.md", document).len(), 2);
}

#[test]
fn rows_are_held_to_their_tests() {
    let table = "| rule | test |\n|---|---|\n";
    let tests = ["head::there", "conformance::a::b"].map(String::from).into();
    let rows = [
        ("| `a::b` | `head::there` |", None),
        (
            "| x | `head::there`, `head::gone` |",
            Some("docs/specification.md:3: no test `head::gone`"),
        ),
        ("| x | `there` |", Some("docs/specification.md:3: no test `there`")),
        ("| `head::there` | – |", Some("docs/specification.md:3: a row without a test")),
    ];
    for (row, breach) in rows {
        let text = format!("{table}{row}\n");
        let found = untested_rows("docs/specification.md", &text, &tests);
        assert_eq!(found.first().map(String::as_str), breach, "{row}");
    }
    let unlisted = "docs/specification.md: no row for `conformance::a::b`";
    assert_eq!(unlisted_tests(&format!("{table}| x | `head::there` |"), &tests), [unlisted]);
    assert!(unlisted_tests(&format!("{table}| x | `conformance::a::b` |"), &tests).is_empty());
}

#[test]
fn tests_are_known_by_their_paths() {
    let made = "macro_rules! all {\n ($($name:ident: $x:expr;)+) => {$(\n #[test]\n fn $name() {} )+};\n}\n\
                macro_rules! none { ($name:ident: $x:expr;) => { fn $name() {} }; }";
    let used = "all! {\n one: f(\"a: b; c\") => 1;\n two:\n g({ 1; 2 }) => 3;\n}\nnone! { three: 1; }\n// all! { four: 1; }";
    let files = [
        ("tests/deep/mod.rs", made),
        ("tests/deep/down.rs", used),
        (
            "tests/flat.rs",
            "#[inline]\nfn helper() {}\n#[a::test(b)]\n#[cfg(unix)]\nasync fn plain() {}",
        ),
        ("src/room/file.rs", "fn a() {}\n#[cfg(test)]\nmod tests { #[test]\nfn unit() {} }"),
        ("src/room/mod.rs", "#[cfg(test)]\nmod tests { #[test]\nfn whole() {} }"),
    ];
    let found = tests_of(&files.map(|(path, text)| Source::new(path, text)));
    let paths = ["deep::down::one", "deep::down::two", "flat::plain"];
    let units = ["room::file::tests::unit", "room::tests::whole"];
    assert_eq!(found, paths.into_iter().chain(units).map(String::from).collect());
}
