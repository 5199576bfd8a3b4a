//! The programs in `tools/examples/`, each started and asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::support::origin::ok;
use crate::support::tls::{Authority, TlsOrigin, TlsServer};
use crate::support::{Origin, Process, eventually, temporary};

/// The folder of the examples, built from what is there now. `cargo test` alone builds them too, but with a word that
/// names a test binary it leaves them as they are.
fn examples() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let tests = std::env::current_exe().unwrap();
        // target/PROFILE/deps/TESTS
        let profile = tests.ancestors().nth(2).unwrap();
        let name = profile.file_name().unwrap().to_str().unwrap();
        let name = if name == "debug" { "dev" } else { name };
        let cargo = std::env::var_os("CARGO").expect("run by cargo, which builds the examples");
        let mut build = Command::new(cargo);
        build.args(["build", "--examples", "--locked", "--quiet", "--profile", name]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        // What cargo tells a test of its package: some dependencies would be built again for it.
        for (name, _) in std::env::vars_os() {
            let told = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_"];
            if told.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                build.env_remove(name);
            }
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success(), "the examples could not be built");
        profile.join("examples")
    });
    &FOLDER
}

/// Starts an example.
fn example(name: &str, words: &[&str]) -> Process {
    Process::of(Command::new(examples().join(name)).arg("127.0.0.1:0").args(words))
}

fn ask(process: &Process, path: &str, headers: &str) -> (u16, String) {
    let answer =
        process.client().ask(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n"));
    (answer.status, answer.text())
}

#[test]
fn prefix() {
    let [auth, task] = ["auth", "task"].map(Origin::named);
    let process = example("prefix", &[&auth.address.to_string(), &task.address.to_string()]);
    assert_eq!(ask(&process, "/auth/x", ""), (200, "auth".to_owned()));
    assert_eq!(ask(&process, "/task", ""), (200, "task".to_owned()));
    assert_eq!(ask(&process, "/other", "").0, 404);
    for line in ["GET /x HTTP/1.1\r\n", "GET /health HTTP/1.1\r\n"] {
        eventually(line, || auth.heads().iter().any(|head| head.starts_with(line)));
    }
}

#[test]
fn host_rewrite() {
    let authority = Authority::shared();
    let identity = authority.issue(&["one.test"]);
    let origin = TlsOrigin::answering(&TlsServer::showing(&identity), ok("hello"));
    let endpoint = origin.address.to_string();
    let process = example("host_rewrite", &["one.test", &authority.file(), &endpoint]);
    assert_eq!(ask(&process, "/", ""), (200, "hello".to_owned()));
    assert!(origin.heads()[0].contains("\r\nHost: one.test\r\n"), "{:?}", origin.heads());
    let other = example("host_rewrite", &["two.test", &authority.file(), &endpoint]);
    assert_eq!(ask(&other, "/", "").0, 502);
}

#[test]
fn api_key() {
    let origin = Origin::named("hello");
    let process = example("api_key", &[&origin.address.to_string(), "2", "k1=ann", "k2=bob"]);
    for headers in ["", "X-Api-Key: k3\r\n", "X-Api-Key: k3\r\n", "X-Api-Key: k3\r\n"] {
        assert_eq!(ask(&process, "/", headers).0, 401, "{headers}");
    }
    let statuses = [(); 3].map(|()| ask(&process, "/", "X-Api-Key: k1\r\n").0);
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(ask(&process, "/", "X-Api-Key: k2\r\n").0, 200);
    let heads = origin.heads();
    let users = ["ann", "ann", "bob"].map(|name| format!("\r\nX-User: {name}\r\n"));
    assert_eq!(heads.len(), users.len());
    for (head, user) in heads.iter().zip(users) {
        assert!(head.contains(&user) && !head.contains("X-Api-Key"), "{head}");
    }
}

#[test]
fn canary() {
    let [stable, canary] = ["stable", "canary"].map(Origin::named);
    let addresses = [&stable, &canary].map(|origin| origin.address.to_string());
    let process = example("canary", &[&addresses[0], &addresses[1]]);
    assert_eq!(ask(&process, "/", "X-Canary: 0\r\n"), (200, "stable".to_owned()));
    let answer = process.client().ask("GET / HTTP/1.1\r\nHost: a\r\nX-Canary: 1\r\n\r\n");
    assert_eq!((answer.text(), answer.field("X-Served-By")), ("canary".to_owned(), Some("canary")));
    assert_eq!(
        process.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").field("X-Served-By"),
        None
    );
}

#[test]
fn tenants() {
    let origin = Origin::named("hello");
    let process = example("tenants", &[&origin.address.to_string()]);
    for host in ["ann.example:80", "Ann.example", "bob.example"] {
        process.client().ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    eventually("the tenants are counted", || {
        process.says("ann: requests=2 errors=0 bytes=") && process.says("bob: requests=1 errors=0")
    });
}

#[test]
fn registry() {
    let [one, two] = ["one", "two"].map(Origin::named);
    let folder = temporary("registry");
    fs::create_dir(&folder).unwrap();
    let file = |origin: &Origin| folder.join(origin.address.to_string());
    fs::write(file(&one), "").unwrap();
    let process = example("registry", &[folder.to_str().unwrap()]);
    assert_eq!(ask(&process, "/", ""), (200, "one".to_owned()));
    fs::rename(file(&one), file(&two)).unwrap();
    eventually("the other one is asked", || ask(&process, "/", "").1 == "two");
}
