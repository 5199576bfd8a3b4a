//! The binary as a separate process, killed on drop.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::{Client, eventually};

pub struct Process {
    child: Child,
    /// The lines of standard output and standard error.
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub fn start(words: &[&str]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_evener")).args(words))
    }

    /// Runs another program that executes the balancer.
    pub fn command(program: &str, words: &[&str]) -> Self {
        Self::run(Command::new(program).args(words))
    }

    /// Runs the balancer under strace, which writes every system call to `log`.
    pub fn traced(log: &Path, words: &[&str]) -> Self {
        // With -D the child process is the balancer instead of its tracer.
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-qq", "-o"]).arg(log);
        Self::run(strace.arg(env!("CARGO_BIN_EXE_evener")).args(words))
    }

    /// Runs a prepared command.
    pub fn of(command: &mut Command) -> Self {
        Self::run(command)
    }

    fn run(command: &mut Command) -> Self {
        Self::with_input(command, Stdio::null())
    }

    /// Runs a prepared command with this standard input.
    pub fn with_input(command: &mut Command, input: Stdio) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let lines = Arc::default();
        let readers = vec![
            collect(child.stdout.take().expect("stdout"), &lines),
            collect(child.stderr.take().expect("stderr"), &lines),
        ];
        Self { child, lines, readers }
    }

    /// Waits until it logs `before` and returns the word after it, such as the address after
    /// `listening on `.
    pub fn announces(&self, before: &str) -> String {
        let mut found = None;
        eventually(&format!("the process logs {before:?}"), || {
            let lines = self.lines.lock().expect("lock");
            let mut rests = lines.iter().filter_map(|line| line.split_once(before));
            found = rests.next().map(|(_, rest)| rest.to_owned());
            found.is_some()
        });
        let rest = found.expect("found above");
        rest.split([',', ' ']).next().expect("a word").to_owned()
    }

    /// Whether it has printed or logged this text.
    pub fn says(&self, text: &str) -> bool {
        self.lines.lock().expect("lock").iter().any(|line| line.contains(text))
    }

    /// How many lines it has printed or logged with this text.
    pub fn count(&self, text: &str) -> usize {
        self.lines.lock().expect("lock").iter().filter(|line| line.contains(text)).count()
    }

    /// The address on which the balancer or origin listens.
    pub fn address(&self) -> SocketAddr {
        self.announces("listening on ").parse().expect("an address")
    }

    /// The TCP addresses on which the balancer listens, once it listens on `count` of any kind, in the order
    /// of its log.
    pub fn addresses(&self, count: usize) -> Vec<SocketAddr> {
        eventually("it listens", || self.count("listening on ") >= count);
        let lines = self.lines.lock().expect("lock");
        let words =
            lines.iter().filter_map(|line| line.split_once("listening on ")?.1.split(',').next());
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// A new connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Its PID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for it to exit; returns the exit code and all its output.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        for reader in self.readers.drain(..) {
            reader.join().expect("its output");
        }
        let lines = std::mem::take(&mut *self.lines.lock().expect("lock"));
        (status.expect("ended above").code(), lines)
    }
}

fn collect(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().expect("lock").push(line);
        }
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
