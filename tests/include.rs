//! Files that the configuration file includes.

use std::fs;
use std::path::PathBuf;

use evener::config::Config;
use evener::config::describe::summary;
use evener::config::sources::{Sources, Unreadable};

use crate::support::{Origin, Process, no_environment, temporary};

/// A directory with these files, each below `main.yaml` unless its name begins otherwise.
fn folder(files: &[(&str, &str)]) -> PathBuf {
    let folder = temporary("include");
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The configuration in `main.yaml`, or its mistakes, with paths from the directory.
fn read(files: &[(&str, &str)], flags: &[&str]) -> Result<Config, Vec<String>> {
    let folder = folder(files);
    let main = folder.join("main.yaml");
    let first = ["evener", "-c", main.to_str().unwrap()];
    let words: Vec<String> = first.iter().chain(flags).map(ToString::to_string).collect();
    let sources = Sources::read(&words, &no_environment).map_err(Unreadable::reasons);
    let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let shown = format!("{}/", folder.display());
    let short = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.replace(&shown, "")).collect()
    };
    let config = sources.and_then(|(_, sources)| {
        let mistakes = |mistakes: Vec<_>| mistakes.iter().map(ToString::to_string).collect();
        Config::new(&sources, &resolve, &|_| false).map_err(mistakes)
    });
    let config = config.map(|config| Config { warnings: short(config.warnings.clone()), ..config });
    config.map_err(short)
}

fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
    read(files, &[]).unwrap_err()
}

fn names(config: &Config) -> Vec<String> {
    config.plan.routes.iter().map(|route| route.name.to_string()).collect()
}

const MAIN: &str = "include: ['conf.d/*.yaml']\nroute: /=127.0.0.1:1\n";

#[test]
fn files_are_read_in_order_of_their_names() {
    let route = |prefix| format!("routes: [{{prefix: {prefix}, endpoints: [127.0.0.1:1]}}]\n");
    let files = [
        (
            "main.yaml",
            "include: [b.yaml, 'conf.d/*.yaml']\nroutes: [{prefix: /main, upstream: u}]\n",
        ),
        ("b.yaml", &route("/b")),
        ("conf.d/10.yaml", &route("/10")),
        ("conf.d/02.yaml", "upstreams: [{name: u, endpoints: [127.0.0.1:1]}]\n"),
        ("conf.d/01.yaml", &route("/01")),
        ("conf.d/.03.yaml", "no"),
        ("conf.d/04.yaml~", "no"),
        ("conf.d/dir.yaml/05.yaml", "no"),
        ("conf.d/99.yaml", "# nothing\n"),
    ];
    let config = read(&files, &[]).unwrap();
    assert_eq!(names(&config), ["/main", "/b", "/01", "/10"]);
    assert_eq!(config.warnings, [""; 0]);
    let text = summary(&config);
    for line in
        ["/conf.d/01.yaml: 1 route", "/conf.d/02.yaml: 1 upstream", "/conf.d/99.yaml: nothing"]
    {
        let told = |told: &str| told.starts_with("included ") && told.ends_with(line);
        assert!(text.lines().any(told), "{line} in\n{text}");
    }
}

#[test]
fn other_keys_belong_in_the_main_file() {
    let rows = [
        ("threads: 2\n", "1:1: threads: belongs in main.yaml: an included file has only routes,"),
        ("version: 1\n", "1:1: version: belongs in main.yaml"),
        ("check: {http: /}\n", "1:1: check: belongs in main.yaml"),
        (
            "include: [b.yaml]\n",
            "1:1: include: an included file includes no others: name them in main",
        ),
        ("rotues: []\n", "1:1: unknown key \"rotues\": did you mean routes?"),
    ];
    for (text, expected) in rows {
        let told = mistakes(&[("main.yaml", MAIN), ("conf.d/a.yaml", text)]);
        let expected = format!("conf.d/a.yaml:{expected}");
        assert!(told[0].starts_with(&expected), "{expected} in {told:?}");
    }
}

#[test]
fn mistakes_in_all_files_are_told_at_once_in_their_order() {
    let bad = "routes:\n  - {prefix: /, endpoints: [x]}\n";
    let files = [
        ("main.yaml", "include: ['*.yaml']\nthreads: x\nroute: /m=127.0.0.1:1\n"),
        ("b.yaml", "routes: [{prefix: /b, upstream: u}]\n"),
        ("a.yaml", bad),
    ];
    let told = mistakes(&files);
    let places: Vec<_> = told.iter().map(|told| told.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["main.yaml:2:10", "a.yaml:2:29", "b.yaml:1:33"], "{told:?}");
    let unreadable = [("main.yaml", MAIN), ("conf.d/a.yaml", "a: [\n"), ("conf.d/b.yaml", "- b\n")];
    let told = mistakes(&unreadable);
    assert!(
        told[0].starts_with("conf.d/a.yaml:1:4: ") && told[1].starts_with("conf.d/b.yaml:1:1: ")
    );
}

#[test]
fn the_same_route_in_two_files_names_both_places() {
    let route = "routes: [{prefix: /a, endpoints: [127.0.0.1:1]}]\n";
    let files = [("main.yaml", MAIN), ("conf.d/a.yaml", route), ("conf.d/b.yaml", route)];
    let told = mistakes(&files);
    assert!(told[0].starts_with("conf.d/b.yaml:1:19: unreachable: the route at "), "{told:?}");
    assert!(told[0].contains("conf.d/a.yaml:1:19 already matches /a"), "{told:?}");
}

#[test]
fn a_file_that_is_missing_is_a_mistake_and_a_pattern_without_a_match_a_warning() {
    let main = "include: [none.yaml, 'none/*.yaml']\nroute: /=127.0.0.1:1\n";
    let told = mistakes(&[("main.yaml", main)]);
    assert!(told[0].starts_with("main.yaml:1:11: none.yaml: No such file"), "{told:?}");
    let config = read(&[("main.yaml", &main.replace("none.yaml, ", ""))], &[]).unwrap();
    assert_eq!(config.warnings, ["main.yaml:1:11: \"none/*.yaml\" matches no file"]);
}

#[test]
fn patterns_stand_in_the_last_component() {
    for (pattern, expected) in
        [("*/a.yaml", ": * and ? may stand"), ("conf.d/", " names no file"), ("", " names no")]
    {
        let main = format!("include: ['{pattern}']\nroute: /=127.0.0.1:1\n");
        let told = mistakes(&[("main.yaml", &main)]);
        let expected = format!("main.yaml:1:11: {pattern:?}{expected}");
        assert!(told[0].starts_with(&expected), "{expected} in {told:?}");
    }
}

#[test]
fn a_file_is_taken_once_whatever_names_it() {
    let route = "routes: [{prefix: /a, endpoints: [127.0.0.1:1]}]\n";
    let main = "include: ['*.yaml', a.yaml, ./a.yaml, '?.yaml']\nroute: /=127.0.0.1:1\n";
    let config = read(&[("main.yaml", main), ("a.yaml", route)], &[]).unwrap();
    assert_eq!(names(&config), ["/", "/a"]);
}

#[test]
fn there_are_at_most_16_mib_in_all() {
    let half = format!("# {}\n", "x".repeat(8 * 1024 * 1024));
    let files = [("main.yaml", MAIN), ("conf.d/a.yaml", &half), ("conf.d/b.yaml", &half)];
    let told = mistakes(&files);
    assert_eq!(
        told,
        ["main.yaml:1:11: conf.d/b.yaml: with it, there are more than 16777216 bytes"]
    );
}

#[test]
fn flags_replace_what_is_included_too() {
    let files = [
        ("main.yaml", "include: a.yaml\n"),
        ("a.yaml", "routes: [{prefix: /a, endpoints: [x]}]\n"),
    ];
    assert_eq!(names(&read(&files, &["--route", "/f=127.0.0.1:1"]).unwrap()), ["/f"]);
}

#[test]
fn a_relative_path_begins_at_the_file_that_names_it() {
    let files = [
        ("main.yaml", "include: conf.d/a.yaml\nlisten_tls: 127.0.0.1:0\n"),
        (
            "conf.d/a.yaml",
            "certificates: [{cert: c.pem}]\nroutes: [{prefix: /, endpoints: [127.0.0.1:1]}]\n",
        ),
    ];
    let told = mistakes(&files);
    assert!(told[0].starts_with("conf.d/a.yaml:1:23: conf.d/c.pem: "), "{told:?}");
}

#[test]
fn a_reload_reads_all_of_them_again() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let route = |prefix: &str, origin: &Origin| {
        format!("routes: [{{prefix: {prefix}, endpoints: ['{}']}}]\n", origin.address)
    };
    let main = "include: 'conf.d/*.yaml'\nlisten: 127.0.0.1:0\ncheck: off\n";
    let folder = folder(&[("main.yaml", main), ("conf.d/a.yaml", &route("/", &one))]);
    let process = Process::start(&["-c", folder.join("main.yaml").to_str().unwrap()]);
    let get = |path: &str| {
        let mut client = process.client();
        client.get(path);
        client.response().text()
    };
    assert_eq!(get("/b"), "one");
    fs::write(folder.join("conf.d/b.yaml"), route("/b", &two)).unwrap();
    process.signal("HUP");
    process.announces("reloaded");
    assert_eq!((get("/b"), get("/a")), ("two".to_owned(), "one".to_owned()));
}
