//! Checks in full: what is asked, which answers are healthy, and what is said of the others.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::closing::closing_when_reused;
use crate::support::h2::H2Origin;
use crate::support::origin::ok;
use crate::support::{Admin, Origin, Proxy, eventually, temporary};

/// A balancer in front of this endpoint, with a check in full.
fn checked(endpoint: &str, check: &str) -> Admin {
    let path = temporary("checks.yaml");
    let upstream = format!(
        "name: u, endpoints: ['{endpoint}'], check_interval: 20ms, check: {{timeout: 5s, {check}}}"
    );
    let text = format!(
        "admin: 127.0.0.1:0\nlisten: [127.0.0.1:0]\nthreads: 1\nupstreams: [{{{upstream}}}]\nroutes: \
         [{{prefix: /, upstream: u}}]\n"
    );
    fs::write(&path, text).unwrap();
    let admin = Admin::with(&["-c", path.to_str().unwrap()]);
    fs::remove_file(&path).unwrap();
    admin
}

fn of(origin: &Origin, check: &str) -> Admin {
    checked(&origin.address.to_string(), check)
}

/// Waits for a check to pass that has been asked once the balancer had found it failing.
fn passes(admin: &Admin, origin: &Origin) {
    let before = origin.heads().len();
    eventually("it is asked", || origin.heads().len() > before + 4);
    assert_eq!(admin.endpoint(0)["state"], "up");
    assert_eq!(admin.endpoint(0)["last_failures"].as_array().map(Vec::len), Some(0));
}

fn fails(admin: &Admin, what: &str) {
    admin.until(0, "down");
    let last = admin.endpoint(0)["last_failures"][0]["what"].clone();
    assert_eq!(last, format!("check, {what}"));
}

#[test]
fn the_request_has_the_method_the_host_and_no_body() {
    let origin = Origin::named("well");
    let admin = of(&origin, "http: '/up?deep=1', method: OPTIONS, host: app.internal");
    eventually("it is asked", || !origin.heads().is_empty());
    let expected =
        "OPTIONS /up?deep=1 HTTP/1.1\r\nHost: app.internal\r\nUser-Agent: evener-check\r\n\r\n";
    assert_eq!(origin.heads()[0], expected);
    passes(&admin, &origin);
    let post = of(&origin, "http: /post, method: POST");
    let is_post = |head: &String| head.starts_with("POST /post ");
    eventually("it is asked", || origin.heads().iter().any(is_post));
    let head = origin.heads().into_iter().find(is_post).unwrap();
    assert!(head.contains("\r\nContent-Length: 0\r\n"), "{head}");
    drop(post);
}

#[test]
fn only_the_statuses_that_are_listed_are_healthy() {
    let origin = Origin::answering("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    passes(&of(&origin, "http: /, status: '200-299,404'"), &origin);
    passes(&of(&origin, "http: /, status: [204, 400-499]"), &origin);
    passes(&of(&origin, "http: /, status: 404, method: HEAD"), &origin);
    let admin = of(&origin, "http: /, status: 200-299");
    fails(&admin, "response head: unhealthy answer: HTTP status 404, expected 200-299");
    admin.process.signal("INT");
    let (_, lines) = admin.process.end();
    let told = lines.iter().filter(|line| line.contains("HTTP status 404, expected 200-299"));
    assert_eq!(told.count(), 1, "{lines:?}");
}

#[test]
fn the_body_is_looked_through_however_it_is_framed() {
    let bodies = [
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nit is ok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nit is o\r\n1\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 103 A\r\n\r\nHTTP/1.0 200 OK\r\n\r\nit is ok",
    ];
    for body in bodies {
        let origin = Origin::start(move |mut conn| {
            if conn.head().is_some() {
                conn.send(body);
                conn.close();
            }
        });
        passes(&of(&origin, "http: /, body: is ok"), &origin);
        let admin = of(&origin, "http: /, body: okay");
        fails(&admin, "response head: unhealthy answer: no \"okay\" in its body");
    }
}

#[test]
fn no_more_than_64_kib_of_a_body_are_waited_for() {
    let origin = Origin::start(|mut conn| {
        if conn.head().is_some() {
            conn.send_without_end("HTTP/1.1 200 OK\r\n\r\n", "not yet\n");
        }
    });
    let admin = of(&origin, "http: /, body: ok");
    fails(&admin, "response head: unhealthy answer: no \"ok\" in the first 64 KiB of its body");
}

#[test]
fn a_body_that_is_cut_short_is_a_failure() {
    let origin = Origin::start(|mut conn| {
        if conn.head().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            conn.close();
        }
    });
    fails(&of(&origin, "http: /, body: ok"), "response body: response was cut short");
    // What was looked for has come.
    passes(&of(&origin, "http: /, body: half"), &origin);
}

#[test]
fn the_body_of_an_answer_over_http2_is_looked_through() {
    let origin = H2Origin::named("it is ok");
    let admin = checked(&origin.endpoint(), "http: /, method: GET, body: is ok, status: 200");
    eventually("it is asked", || origin.heads().len() > 4);
    assert_eq!(admin.endpoint(0)["state"], "up");
    let admin = checked(&origin.endpoint(), "http: /, host: app.internal, body: okay");
    fails(&admin, "response head: unhealthy answer: no \"okay\" in its body");
    let hosts = origin.heads().into_iter().filter_map(|head| head.uri.host().map(str::to_owned));
    assert!(hosts.into_iter().any(|host| host == "app.internal"));
}

#[test]
fn another_port_is_asked_in_plain_text_and_without_a_proxy_header() {
    let (serving, health) = (Origin::refusing(), Origin::named("well"));
    for scheme in ["", "h2c://", "https://"] {
        let port = health.address.port();
        let check = format!("http: /, port: {port}");
        let admin = checked(&format!("{scheme}{}", serving.address), &check);
        passes(&admin, &health);
        let host = format!("\r\nHost: {}\r\n", health.address);
        assert!(scheme == "https://" || health.heads().iter().any(|head| head.contains(&host)));
    }
}

#[test]
fn it_takes_as_many_checks_to_fall_and_to_rise_as_is_said() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = Arc::clone(&ill);
    let origin = Origin::start(move |mut conn| {
        while conn.head().is_some() {
            let status = if is_ill.load(Ordering::SeqCst) { 500 } else { 200 };
            conn.send(format!("HTTP/1.1 {status} A\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let admin = of(&origin, "http: /, fall: 4, rise: 3");
    admin.until(0, "down");
    assert!(origin.heads().len() >= 4);
    ill.store(false, Ordering::SeqCst);
    let before = origin.heads().len();
    admin.until(0, "up");
    // One may have been under way.
    assert!(origin.heads().len() >= before + 2);
}

#[test]
fn what_was_found_down_stays_so_until_enough_checks_of_another_plan_have_passed() {
    let gate = Arc::new(AtomicBool::new(false));
    let passes = Arc::clone(&gate);
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let is_up = passes.load(Ordering::SeqCst) && head.starts_with("GET /b ");
            conn.send(if is_up { ok("well") } else { b"HTTP/1.1 500 A\r\n\r\n".to_vec() });
        }
    });
    let path = temporary("checks.yaml");
    let write = |check: &str| {
        let text = format!(
            "upstreams: [{{name: u, endpoints: ['{}'], check: {{interval: 20ms, {check}}}}}]\nroutes: \
             [{{prefix: /, upstream: u}}]\n",
            origin.address
        );
        fs::write(&path, text).unwrap();
    };
    write("http: /a");
    let words = ["--admin=127.0.0.1:0", "--listen=127.0.0.1:0", "--threads=1", "-c"];
    let admin = Admin::with(&[&words[..], &[path.to_str().unwrap()]].concat());
    admin.until(0, "down");
    gate.store(true, Ordering::SeqCst);
    write("http: /b, rise: 255");
    assert_eq!(admin.post("/reload").status, 200);
    let asked = || origin.heads().iter().filter(|head| head.starts_with("GET /b ")).count();
    eventually("it is asked", || asked() > 3);
    assert_eq!(admin.endpoint(0)["state"], "down");
    fs::remove_file(&path).unwrap();
}

#[test]
fn the_host_of_an_upstream_comes_before_those_of_routes_and_mirrors_have_none() {
    let (own, other) = (Origin::named("own"), Origin::named("other"));
    let path = temporary("checks.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ncheck: http:/h\ncheck_interval: 20ms\nupstreams:\n  - {{name: a, endpoints: \
         ['{}'], host_header: own}}\n  - {{name: b, endpoints: ['{}']}}\nroutes:\n  - {{prefix: /, upstream: a, host_header: \
         route, mirror: {{upstream: b}}}}\n",
        own.address, other.address
    );
    fs::write(&path, text).unwrap();
    let _admin = Admin::with(&["-c", path.to_str().unwrap()]);
    eventually("both are asked", || !own.heads().is_empty() && !other.heads().is_empty());
    assert!(own.heads()[0].contains("\r\nHost: own\r\n"), "{:?}", own.heads());
    let address = format!("\r\nHost: {}\r\n", other.address);
    assert!(other.heads()[0].contains(&address), "{:?}", other.heads());
}

#[test]
fn a_connection_is_used_by_one_check_after_the_other() {
    let origin = Origin::named("well");
    let admin = of(&origin, "http: /up");
    passes(&admin, &origin);
    assert_eq!(origin.connections(), 1);
    // Over ten seconds an endpoint may tire of waiting.
    let rare = Origin::named("rare");
    let _proxy = Proxy::before(&[&rare], &["--check", "http:/rare", "--check-interval", "11s"]);
    eventually("it is asked", || !rare.heads().is_empty());
    let head = rare.heads().swap_remove(0);
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
}

#[test]
fn a_connection_that_was_closed_between_two_checks_says_nothing() {
    for origin in [closing_when_reused(), Origin::answering("HTTP/1.0 200 OK\r\n\r\nwell")] {
        let admin = of(&origin, "http: /up, fall: 1");
        passes(&admin, &origin);
        assert!(origin.connections() > 1);
    }
}

#[test]
fn an_endpoint_that_accepts_no_connection_any_more_is_not_taken_back_for_its_old_ones() {
    let origin = Origin::named("well");
    let admin = of(&origin, "http: /up");
    passes(&admin, &origin);
    assert_eq!(origin.connections(), 1);
    origin.stop_accepting();
    // The connection of its checks goes on being answered, until a request has found that out.
    eventually("it is found out", || {
        admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        admin.endpoint(0)["state"] == "down"
    });
}

#[test]
fn checks_are_counted_by_what_came_of_them() {
    let origin = Origin::named("well");
    let admin = checked(&origin.address.to_string(), "tcp: true");
    let count = |result: &str| {
        let labels = format!("upstream=\"u\",endpoint=\"{}\",result=\"{result}\"", origin.address);
        admin.metric(&format!("evener_endpoint_checks_total{{{labels}}}"))
    };
    eventually("it is asked", || count("passed") > 2);
    assert_eq!([count("failed"), count("proven"), count("local_failure")], [0, 0, 0]);
    let mut client = admin.client();
    client.get("/");
    assert_eq!(client.response().status, 200);
    eventually("the request that was answered stands for a check", || count("proven") > 0);
    origin.stop();
    admin.until(0, "down");
    assert!(count("failed") > 1);
}
