//! Configurations that are written in code: words, texts, and the builder.

use evener::{
    Config, ConfigBuilder, ConfigErrors, RelayBuilder, RouteBuilder, UpstreamBuilder, json,
};

fn lines(built: Result<Config, ConfigErrors>) -> Vec<String> {
    built.expect_err("mistakes").lines()
}

fn builder() -> ConfigBuilder {
    Config::builder().listen("127.0.0.1:0")
}

#[test]
fn what_is_built_is_what_a_file_would_say() {
    let built = builder()
        .threads(2)
        .check("off")
        .upstream(
            UpstreamBuilder::new("app")
                .endpoint("10.0.0.1:80@3")
                .backup("10.0.0.2:80")
                .policy("hash")
                .hash_on("header:X-User")
                .set("queue", json!({"max": 5, "timeout": "2s"}))
                .max_requests(7)
                .retries(1),
        )
        .upstream(UpstreamBuilder::new("db").endpoint("10.0.0.3:5432"))
        .route(RouteBuilder::prefix("/a").host("x.example").upstream("app").strip_prefix())
        .route(RouteBuilder::prefix("/").endpoint("10.0.0.4:80").host_header("y.example"))
        .relay(RelayBuilder::new("127.0.0.1:5432").sni("a.example", "db"))
        .set("header_timeout", "3s");
    let written = "
        listen: ['127.0.0.1:0']
        threads: 2
        check: 'off'
        header_timeout: 3s
        upstreams:
          - name: app
            endpoints: ['10.0.0.1:80@3', {address: '10.0.0.2:80', backup: true}]
            policy: hash
            hash_on: 'header:X-User'
            queue: {max: 5, timeout: 2s}
            max_requests: 7
            retries: 1
          - {name: db, endpoints: ['10.0.0.3:5432']}
        routes:
          - {prefix: /a, host: x.example, upstream: app, strip_prefix: true}
          - {prefix: /, endpoints: ['10.0.0.4:80'], host_header: y.example}
        tcp:
          - {listen: '127.0.0.1:5432', sni: {a.example: db}}
        ";
    let (built, written) = (built.build().unwrap(), Config::from_yaml(written).unwrap());
    let summary = evener::config::describe::summary;
    assert_eq!(summary(&built), summary(&written));
}

#[test]
fn all_mistakes_come_at_once_and_name_what_was_built() {
    let built = builder()
        .upstream(UpstreamBuilder::new("app").endpoint("nowhere").policy("best"))
        .route(RouteBuilder::prefix("a").upstream("app"))
        .route(RouteBuilder::prefix("/b").host("x.example").upstream("other"))
        .set("header_timeout", "5")
        .build();
    let starts = [
        "header_timeout: ",
        "upstream app: endpoints: ",
        "upstream app: policy: ",
        "route a: prefix: ",
        "route x.example/b: upstream: there is no upstream \"other\"",
    ];
    let lines = lines(built);
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line:?} begins with {start:?}");
    }
}

#[test]
fn a_key_that_there_is_not_is_a_mistake_wherever_it_is_set() {
    let route = || RouteBuilder::prefix("/").endpoint("10.0.0.1:80");
    let rows = [
        (builder().route(route()).set("lisen", "x"), "lisen: "),
        (builder().route(route().set("prefx", "x")), "route /: prefx: "),
        (builder().upstream(UpstreamBuilder::new("a").set("polcy", "x")), "upstream a: polcy: "),
        (builder(), "route: none is given"),
    ];
    for (built, start) in rows {
        let lines = lines(built.build());
        assert!(lines.iter().any(|line| line.starts_with(start)), "{lines:?} say {start:?}");
    }
}

#[test]
fn texts_in_code_cannot_add_to_the_document() {
    let odd = "/a\"}, {\u{2028}\n\r\u{85}\u{7f}\u{feff}\\é";
    let lines = lines(builder().route(RouteBuilder::prefix(odd).upstream("app")).build());
    assert!(lines.iter().any(|line| line.contains("there is no upstream \"app\"")), "{lines:?}");
    let route = RouteBuilder::prefix("/").endpoint("10.0.0.1:80").host_header("a: b\u{2028}c");
    let built = builder().route(route).build();
    assert!(lines_of(&built).iter().all(|line| line.starts_with("route /: host_header: ")));
}

fn lines_of(built: &Result<Config, ConfigErrors>) -> Vec<String> {
    built.as_ref().err().map(ConfigErrors::lines).unwrap_or_default()
}

#[test]
fn words_are_those_of_the_command_line() {
    let config = Config::from_words(["--listen", "127.0.0.1:0", "--route", "/=10.0.0.1:80"]);
    assert_eq!(&*config.unwrap().plan.routes[0].name, "/");
    let rows = [
        (&["--lisen", "x"][..], "--lisen: unknown flag: did you mean --listen?"),
        (&["--route", "/=x"], "--route: "),
        (&["--route", "/=10.0.0.1:80", "--test"], "command line: --test: only the program"),
        (&["demo"], "command line: subcommands: only the program"),
    ];
    for (words, start) in rows {
        let lines = lines(Config::from_words(words.iter().copied()));
        assert!(lines[0].starts_with(start), "{lines:?} begin with {start:?}");
    }
}

#[test]
fn a_text_has_lines_and_columns() {
    let lines = lines(Config::from_yaml("routes:\n  - {prefix: a, endpoints: ['10.0.0.1:80']}"));
    assert!(lines[0].starts_with("configuration:2:14: "), "{lines:?}");
}
