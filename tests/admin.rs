//! Responses and commands of the admin listener.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::origin::ok;
use crate::support::{Admin, Client, Origin, Rendezvous, eventually, temporary};

fn text(client: &mut Client) -> String {
    client.get("/");
    client.response().text()
}

#[test]
fn each_path_has_its_response() {
    let admin = Admin::before(&[&Origin::named("o")], &[]);
    let rows = [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP evener_build_info "),
        ("/status", "application/json", "{\"version\":"),
        ("/status?x=1", "application/json", "{\"version\":"),
    ];
    // All on one connection: each response leaves it usable.
    let mut client = Client::connect(admin.at);
    for (path, kind, begins) in rows {
        let response = client.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.field("Content-Type"), Some(kind));
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert!(response.text().starts_with(begins), "{path}");
    }
    let page = admin.get("/");
    let policy = page.field("Content-Security-Policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'")
    );
    let head = admin.ask("HEAD", "/status", "");
    assert!(head.status == 200 && head.body.is_empty());
}

#[test]
fn other_methods_and_paths_are_refused() {
    let admin = Admin::before(&[&Origin::named("o")], &[]);
    let rows = [
        ("POST", "/status", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/reload", 405),
        ("HEAD", "/reload", 405),
        ("GET", "/upstreams/a/endpoints/b/drain", 405),
        ("GET", "/statu", 404),
        ("GET", "/status/", 404),
        ("POST", "/upstreams/%2F/endpoints/127.0.0.1:1/drain", 404),
        ("POST", "/upstreams/nobody/endpoints/127.0.0.1:1/drain", 404),
        ("POST", "/upstreams/%2F/endpoints/127.0.0.1:1/explode", 404),
        ("POST", "/reload?dryrun=1", 400),
        ("GET", "/status HTTP/1.1\r\nbad field: x", 400),
    ];
    for (method, path, status) in rows {
        let response = admin.ask(method, path, "");
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.field("Allow").is_some(), status == 405, "{method} {path}");
    }
    let long = admin.ask("POST", "/reload", "Host: localhost\r\nContent-Length: 65537\r\n");
    assert_eq!(long.status, 413);
    for (size, status) in [(65_536, 200), (65_537, 413)] {
        let head = "POST /reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";
        let body = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
        assert_eq!(Client::connect(admin.at).ask(format!("{head}\r\n{body}")).status, status);
    }
    let body = "Content-Length: 5\r\n\r\nhello";
    let mut client = Client::connect(admin.at);
    let posted = client.ask(format!("POST /reload HTTP/1.1\r\nHost: localhost\r\n{body}"));
    assert_eq!((posted.status, posted.text().as_str()), (200, "nothing has changed\n"));
    let next = client.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(next.text(), "ok\n");
}

#[test]
fn a_drained_endpoint_gets_nothing_new_until_it_is_ready() {
    let asked = Rendezvous::default();
    let one = asked.clone();
    let slow = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            if head.starts_with("GET /slow ") {
                one.wait();
                one.wait();
            }
            conn.send(ok("slow"));
        }
    });
    let other = Origin::named("other");
    let admin = Admin::before(&[&slow, &other], &[]);
    let (mut under_way, mut client) = (admin.client(), admin.client());
    under_way.get("/slow");
    asked.wait();
    assert_eq!(admin.order(&slow, "drain").text(), format!("/: {} is drained\n", slow.address));
    for _ in 0..4 {
        assert_eq!(text(&mut client), "other");
    }
    let endpoint = admin.endpoint(0);
    assert_eq!(
        (&endpoint["state"], &endpoint["why"]),
        (&"drained".into(), &"drained by hand".into())
    );
    assert_eq!(endpoint["in_flight"], 1);
    asked.wait();
    assert_eq!(under_way.response().text(), "slow");
    assert_eq!(admin.order(&slow, "ready").status, 200);
    let answers = [text(&mut client), text(&mut client)];
    assert!(answers.contains(&"slow".to_owned()), "{answers:?}");
    for said in ["is drained by command", "is ready by command"] {
        eventually(said, || admin.process.says(said));
    }
}

#[test]
fn if_all_endpoints_are_taken_out_the_response_is_503() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let admin = Admin::before(&[&one, &two], &[]);
    admin.order(&one, "down");
    assert_eq!(text(&mut admin.client()), "two");
    admin.order(&two, "drain");
    let mut client = admin.client();
    client.get("/");
    let response = client.response();
    assert_eq!((response.status, response.field("Retry-After").is_some()), (503, true));
    let states =
        [&admin.endpoint(0)["state"], &admin.endpoint(1)["state"]].map(ToString::to_string);
    assert_eq!(states, ["\"down\"", "\"drained\""]);
    let up = |origin: &Origin| {
        let address = origin.address;
        admin.metric(&format!("evener_endpoint_up{{upstream=\"/\",endpoint=\"{address}\"}}"))
    };
    assert_eq!((up(&one), up(&two)), (0, 1));
    admin.order(&two, "ready");
    assert_eq!(text(&mut client), "two");
}

#[test]
fn a_down_endpoint_has_a_reason_and_recovers() {
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &["--check", "tcp", "--check-interval", "20ms"]);
    assert_eq!(admin.endpoint(0)["state"], "up");
    origin.stop();
    admin.until(0, "down");
    let endpoint = admin.endpoint(0);
    let expected = "check, connect: endpoint refused the connection (ECONNREFUSED)";
    assert_eq!(endpoint["last_failures"][0]["what"], expected);
    assert_eq!(endpoint["why"], expected);
    assert!(endpoint["last_failures"][0]["seconds_ago"].is_f64());
    assert!(endpoint["since_seconds"].is_f64() && endpoint["until_seconds"].is_null());
    let _back = Origin::start_at(origin.address, |conn| conn.answer_all(&ok("back")));
    admin.until(0, "up");
    assert_eq!(text(&mut admin.client()), "back");
}

#[test]
fn an_ejected_endpoint_has_its_remaining_time() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let admin = Admin::before(&[&dead, &well], &["--fail-timeout", "10m"]);
    let mut client = admin.client();
    for _ in 0..10 {
        assert_eq!(text(&mut client), "well");
    }
    let endpoint = admin.endpoint(0);
    assert_eq!((&endpoint["state"], &endpoint["failures"]), (&"ejected".into(), &3.into()));
    let last = "connect: endpoint refused the connection (ECONNREFUSED)";
    assert_eq!(endpoint["why"], format!("3 consecutive failures, ejection 1; last: {last}"));
    assert_eq!(endpoint["last_failures"].as_array().unwrap().len(), 3);
    assert!(endpoint["until_seconds"].as_f64().unwrap() <= 600.1);
    // Idle connections are counted when the pools are swept.
    eventually("some are idle", || admin.endpoint(1)["connections"]["idle"] != 0);
}

fn write(path: &Path, origins: &[&Origin], more: &str) {
    let addresses: Vec<_> = origins.iter().map(|own| format!("'{}'", own.address)).collect();
    let endpoints = addresses.join(", ");
    let route = format!("routes: [{{prefix: /, endpoints: [{endpoints}]}}]");
    fs::write(path, format!("listen: 127.0.0.1:0\nthreads: 1\n{route}\n{more}")).unwrap();
}

fn from_file(path: &Path) -> Admin {
    Admin::start(&["-c", path.to_str().unwrap(), "--check", "off"])
}

fn file() -> PathBuf {
    temporary("admin.yaml")
}

#[test]
fn a_dry_run_reports_what_a_reload_then_does() {
    let (one, two, path) = (Origin::named("one"), Origin::named("two"), file());
    write(&path, &[&one], "");
    let admin = from_file(&path);
    assert_eq!(admin.status()["config"]["file"], path.to_str().unwrap());
    write(&path, &[&two], "");
    let expected = format!(
        "- endpoint {} of /: weight 1\n+ endpoint {} of /: weight 1\n",
        one.address, two.address
    );
    let mut client = admin.client();
    for (query, generation, text_after) in [("?dry_run=1", 1, "one"), ("", 2, "two")] {
        let response = admin.post(&format!("/reload{query}"));
        assert_eq!((response.status, response.text()), (200, expected.clone()));
        assert_eq!(admin.status()["config"]["generation"], generation);
        assert_eq!(admin.metric("evener_config_generation"), generation);
        assert_eq!(text(&mut client), text_after);
    }
}

#[test]
fn the_answer_to_a_reload_has_its_warnings() {
    let (origin, path) = (Origin::named("o"), file());
    write(&path, &[&origin], "");
    let admin = from_file(&path);
    write(&path, &[&origin], "http2: false\nmax_streams: 5\n");
    let changed = "~ HTTP/2: at most 128 streams per connection → off, for new connections\n";
    let warning = format!("warning: {}:5:14: has no effect without HTTP/2\n", path.display());
    for (query, told) in [("?dry_run=1", changed), ("", changed), ("", "nothing has changed\n")] {
        let response = admin.post(&format!("/reload{query}"));
        assert_eq!((response.status, response.text()), (200, format!("{told}{warning}")));
    }
}

#[test]
fn a_refused_reload_is_in_the_status_until_one_succeeds() {
    let (origin, path) = (Origin::named("o"), file());
    write(&path, &[&origin], "");
    let admin = from_file(&path);
    write(&path, &[&origin], "max_idle: x\n");
    for query in ["?dry_run=1", ""] {
        let response = admin.post(&format!("/reload{query}"));
        assert_eq!(response.status, 422);
        assert!(response.text().contains("admin.yaml:4:11: invalid value \"x\""));
        assert_eq!(admin.status()["config"]["refused"].is_string(), query.is_empty());
    }
    assert_eq!(admin.metric("evener_config_last_reload_refused"), 1);
    write(&path, &[&origin], "");
    admin.process.signal("HUP");
    eventually("it is followed", || admin.status()["config"]["refused"].is_null());
    assert_eq!(admin.status()["config"]["generation"], 2);
}

#[test]
fn a_command_survives_a_reload_and_the_listener_stays() {
    let (one, two, path) = (Origin::named("one"), Origin::named("two"), file());
    write(&path, &[&one, &two], "admin: 127.0.0.1:0\n");
    let admin = Admin::with(&["-c", path.to_str().unwrap(), "--check", "off"]);
    assert_eq!(admin.order(&one, "drain").status, 200);
    write(&path, &[&one, &two], "admin: 127.0.0.1:0\nmax_head: 2k\n");
    assert!(admin.post("/reload").text().starts_with("~ heads: "));
    assert_eq!([text(&mut admin.client()), text(&mut admin.client())], ["two", "two"]);
    write(&path, &[&one, &two], "admin: 127.0.0.1:1\n");
    let response = admin.post("/reload");
    let expected =
        "a reload cannot change admin or admin_token_file: upgrade or restart for that\n";
    assert_eq!((response.status, response.text().as_str()), (422, expected));
}

#[test]
fn a_draining_balancer_is_not_ready_and_reports_it_until_it_exits() {
    let asked = Rendezvous::default();
    let wait = asked.clone();
    let origin = Origin::start(move |mut conn| {
        conn.head();
        wait.wait();
        wait.wait();
        conn.send(ok("late"));
    });
    let admin = Admin::before(&[&origin], &[]);
    let mut client = admin.client();
    client.get("/");
    asked.wait();
    admin.process.signal("TERM");
    eventually("it is not ready", || admin.get("/readyz").status == 503);
    assert_eq!(admin.get("/healthz").status, 200);
    let status = admin.status();
    assert_eq!((&status["state"], &status["ready"]), (&"draining".into(), &false.into()));
    assert_eq!(
        (admin.metric("evener_draining"), admin.metric("evener_connections_active")),
        (1, 1)
    );
    let reload = admin.post("/reload");
    assert_eq!((reload.status, reload.text().as_str()), (422, "draining\n"));
    asked.wait();
    assert_eq!(client.response().text(), "late");
    assert_eq!(admin.process.end().0, Some(0));
}
