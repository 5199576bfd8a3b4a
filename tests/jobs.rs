//! The files of docs/jobs.md, taken from that page and run by the program. Each job is a test of its name in one
//! of the modules `jobs_…`; that none is missing is checked by `tidy`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::support::tls::{Authority, Identity};
use crate::support::{Client, Process, Response, temporary};

/// A job's file, and the program that runs it.
pub struct Job {
    pub process: Process,
    /// Where it listens, in the order of the file.
    pub addresses: Vec<SocketAddr>,
    folder: PathBuf,
    text: String,
}

/// The file of a job, as it is written below its heading: the name is the heading's anchor with `_` for `-`.
fn written(job: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/jobs.md");
    let page = fs::read_to_string(path).expect("docs/jobs.md");
    let name = |heading: &str| heading.to_lowercase().replace([' ', '-'], "_");
    let mut sections = page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let found = sections.find(|(heading, _)| name(heading) == job);
    let (_, section) = found.unwrap_or_else(|| panic!("no job {job} in docs/jobs.md"));
    let (_, file) = section.split_once("```yaml\n").expect("a file");
    let (file, after) = file.split_once("```").expect("the end of a file");
    assert!(!after.contains("```"), "{job} has more than one file");
    file.to_owned()
}

/// The certificate in the files of jobs.
fn certificate() -> Identity {
    Authority::shared().issue(&["example.com"])
}

impl Job {
    /// Runs it with these instead of the endpoints 127.0.0.1:3001 and those after it.
    pub fn start(job: &str, endpoints: &[SocketAddr]) -> Self {
        Self::with(job, endpoints, &[], &[])
    }

    /// The same for clients that say who they are by `X-Forwarded-For`.
    pub fn for_clients(job: &str, endpoints: &[SocketAddr]) -> Self {
        Self::with(job, endpoints, &["--trusted", "127.0.0.1"], &[])
    }

    /// The same with these flags and environment variables.
    pub fn with(
        job: &str,
        endpoints: &[SocketAddr],
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let (folder, text) = prepared(job, endpoints);
        let mut command = command(&folder, &text);
        command.args(flags).envs(variables.iter().copied());
        let process = Process::of(&mut command);
        let listeners = text.matches("127.0.0.1:0").count().max(1);
        let addresses = process.addresses(listeners);
        Self { process, addresses, folder, text }
    }

    /// What the program says instead of running the job, and its exit code.
    pub fn refused(job: &str, endpoints: &[SocketAddr]) -> (Option<i32>, Vec<String>) {
        let (folder, text) = prepared(job, endpoints);
        let refused = Process::of(&mut command(&folder, &text)).end();
        fs::remove_dir_all(folder).expect("a folder");
        refused
    }

    /// Changes the file, as its reader would, and has it read again.
    pub fn change(&mut self, change: impl Fn(&str) -> String) {
        let text = change(&self.text);
        assert_ne!(text, self.text, "nothing has changed");
        fs::write(self.folder.join("conf.yaml"), &text).expect("write");
        self.text = text;
        self.process.signal("HUP");
        self.process.announces("reloaded");
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.addresses[0])
    }

    /// The answer to a request line and headers, each on a line, over a new connection.
    pub fn ask(&self, lines: &str) -> Response {
        let (request, headers) = lines.split_once('\n').unwrap_or((lines, ""));
        let host = if headers.contains("Host: ") { "" } else { "Host: example.com\r\n" };
        let end = if headers.is_empty() { "" } else { "\r\n" };
        let headers = headers.replace('\n', "\r\n") + end;
        let mut client = self.client();
        client.send(format!("{request} HTTP/1.1\r\n{host}{headers}\r\n"));
        client.response_with(!request.starts_with("HEAD "))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder with the file and those that it names, and the file with addresses of the test.
fn prepared(job: &str, endpoints: &[SocketAddr]) -> (PathBuf, String) {
    let mut text = written(job);
    for (port, endpoint) in (3001..).zip(endpoints) {
        let documented = format!("127.0.0.1:{port}");
        assert!(text.contains(&documented), "{job} has no {documented}");
        text = text.replace(&documented, &endpoint.to_string());
    }
    let ours = |at: usize| endpoints.iter().any(|own| text[at..].starts_with(&own.to_string()));
    let others = text.match_indices("127.0.0.1:").filter(|(at, _)| !ours(*at)).count();
    assert_eq!(others, 0, "{job} has more endpoints than the test");
    for port in [80, 443] {
        text = text.replace(&format!("0.0.0.0:{port}\""), "127.0.0.1:0\"");
    }
    let folder = temporary(job);
    fs::create_dir(&folder).expect("a folder");
    let identity = certificate();
    for (name, text) in [
        ("conf.yaml", &*text),
        ("example.com.pem", identity.chain_pem()),
        ("example.com.key", identity.key_pem()),
        ("sorry.html", "<h1>Sorry: {status}</h1>"),
    ] {
        fs::write(folder.join(name), text).expect("write");
    }
    (folder, text)
}

fn command(folder: &std::path::Path, text: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    command.arg("-c").arg(folder.join("conf.yaml")).env_remove("API_KEY");
    if !text.starts_with("listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command
}

/// The request line of each request that an endpoint has been given.
pub fn request_lines(heads: &[String]) -> Vec<&str> {
    heads.iter().filter_map(|head| head.lines().next()?.strip_suffix(" HTTP/1.1")).collect()
}
