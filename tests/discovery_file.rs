//! Endpoints that are listed in a file: it is followed when it changes, unless it is bad.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::discovered::{
    Load, answering, asking, endpoints, eventually_has, on_one_port, passes_and_says,
};
use crate::support::dns::Dns;
use crate::support::{Admin, eventually, temporary};

/// A file of endpoints, removed on drop.
struct List {
    path: PathBuf,
    port: u16,
}

impl List {
    /// One that lists 127.0.0.N, for each number.
    fn of(port: u16, numbers: &[usize]) -> Self {
        let list = Self { path: temporary("endpoints"), port };
        list.becomes(numbers);
        list
    }

    /// Is replaced by another file.
    fn becomes(&self, numbers: &[usize]) {
        let line = |number: &usize| format!("127.0.0.{number}:{}\n", self.port);
        self.says(&numbers.iter().map(line).collect::<String>());
    }

    fn says(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    fn route(&self) -> String {
        format!("--route=/=file:{}", self.path.display())
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn no_request_fails_while_the_file_changes() {
    let (port, origins) = on_one_port(3);
    let list = List::of(port, &[1]);
    let admin = Admin::start(&[&list.route()]);
    let load = Load::on(&admin);
    load.goes_on();
    list.becomes(&[2, 3]);
    eventually_has(&admin, &["127.0.0.2", "127.0.0.3"]);
    load.goes_on();
    // In place, in pieces.
    fs::write(&list.path, format!("127.0.0.3:{port}\n127.0.0.1:{port}\n")).unwrap();
    eventually_has(&admin, &["127.0.0.3", "127.0.0.1"]);
    load.goes_on();
    load.ends();
    origins[1].is_left();
}

#[test]
fn lines_have_weights_and_backups() {
    let (port, origins) = on_one_port(2);
    let list = List::of(port, &[]);
    list.says(&format!("127.0.0.1:{port}@5 # main\n127.0.0.2:{port} backup\n"));
    let admin = Admin::start(&[&list.route(), "--max-fails", "1"]);
    assert_eq!(admin.endpoint(0)["weight"], 5);
    assert_eq!(admin.endpoint(1)["backup"], true);
    assert_eq!(answering(&admin), ["127.0.0.1"]);
    origins[0].origin.stop();
    assert_eq!(answering(&admin), ["127.0.0.2"]);
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_once_with_its_line() {
    let (port, _origins) = on_one_port(2);
    let list = List::of(port, &[1]);
    let admin = Admin::start(&[&list.route()]);
    let told = |line: &str| format!("file:{}:{line}", list.path.display());
    for (text, what) in [
        (format!("127.0.0.2:{port}\n127.0.0.2\n"), "2: \"127.0.0.2\" has no port"),
        (String::new(), "1: there are no endpoints"),
    ] {
        list.says(&text);
        eventually(what, || admin.process.says(&told(what)));
        assert_eq!(endpoints(&admin), ["127.0.0.1"]);
    }
    fs::remove_file(&list.path).unwrap();
    eventually("it is missing", || admin.process.says("cannot be read: No such file"));
    assert_eq!(endpoints(&admin), ["127.0.0.1"]);
    assert_eq!(admin.process.count(&told("2:")), 1);
    list.becomes(&[2]);
    eventually_has(&admin, &["127.0.0.2"]);
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    let (port, _origins) = on_one_port(1);
    let list = List::of(port, &[]);
    fs::remove_file(&list.path).unwrap();
    let admin = Admin::start(&[&list.route()]);
    let mut client = admin.client();
    client.get("/");
    let answer = client.response();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no endpoint of this route has been found"));
    assert!(admin.process.says("/: no endpoint has been found: requests are answered with 503"));
    list.becomes(&[1]);
    eventually_has(&admin, &["127.0.0.1"]);
    let told = "upstream /: file:/nonexistent/list: cannot be read: No such file";
    passes_and_says(&["--route=/=file:/nonexistent/list"], told);
}

#[test]
fn the_names_in_a_file_are_looked_up() {
    let ((port, _origins), dns) = (on_one_port(3), Dns::start());
    dns.says("app.example", &["127.0.0.1", "127.0.0.2"]);
    let list = List::of(port, &[3]);
    let admin = asking(&dns, &[&list.route()]);
    let load = Load::on(&admin);
    list.says(&format!("dns:app.example:{port}\n"));
    eventually_has(&admin, &["127.0.0.1", "127.0.0.2"]);
    dns.says("app.example", &["127.0.0.2"]);
    eventually_has(&admin, &["127.0.0.2"]);
    load.ends();
}

#[test]
fn a_relative_path_is_that_of_the_configuration_file() {
    let (port, _origins) = on_one_port(1);
    let list = List::of(port, &[1]);
    let name = list.path.file_name().unwrap().to_str().unwrap();
    let conf = temporary("relative.yaml");
    fs::write(&conf, format!("routes: [{{prefix: /, endpoints: ['file:{name}']}}]")).unwrap();
    let endpoint = format!("endpoint 127.0.0.1:{port} of /");
    passes_and_says(&["-c", conf.to_str().unwrap()], &endpoint);
    fs::remove_file(&conf).unwrap();
}

#[test]
fn what_has_no_answer_is_a_warning_of_a_test_and_of_an_explanation() {
    let route = format!("--route=/=file:{}", temporary("missing").display());
    let rows: [(&[&str], &str); 2] = [
        (&["-t", "--listen=127.0.0.1:0"], "upstream /: round_robin"),
        (&["explain", "/"], "endpoints: none has been found"),
    ];
    for (words, shown) in rows {
        let mut evener = Command::new(env!("CARGO_BIN_EXE_evener"));
        let output = evener.args(words).arg(&route).output().unwrap();
        let (text, told) = (String::from_utf8_lossy(&output.stdout), &output.stderr);
        assert_eq!(output.status.code(), Some(0));
        assert!(told.starts_with(b"evener: warning: upstream /: file:"), "{output:?}");
        assert!(text.contains(shown), "{text}");
    }
}
