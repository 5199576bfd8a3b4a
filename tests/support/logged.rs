//! A balancer with a JSON access log, and the lines of that log.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Client, Origin, Proxy, eventually, temporary};

/// A balancer and the path of its access log.
pub struct Logged {
    pub proxy: Proxy,
    pub path: PathBuf,
}

impl Logged {
    pub fn before(origins: &[&Origin], flags: &[&str]) -> Self {
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address.to_string()).collect();
        let route = format!("--route=/={}", addresses.join(","));
        Self::start(&[&[&*route], flags].concat())
    }

    pub fn start(flags: &[&str]) -> Self {
        let path = temporary("access.log");
        let log = format!("--access-log={}", path.display());
        let words = [&[&*log, "--access-log-format=json"], flags].concat();
        Self {
            proxy: Proxy::start_words(&[&words[..], &["--listen", "127.0.0.1:0"]].concat()),
            path,
        }
    }

    pub fn client(&self) -> Client {
        self.proxy.client()
    }

    /// All lines, once there are `count`.
    pub fn lines(&self, count: usize) -> Vec<Value> {
        lines(&self.path, count)
    }

    /// The only line.
    pub fn line(&self) -> Value {
        self.lines(1).remove(0)
    }

    /// The values of these keys in the only line.
    pub fn says(&self, names: [&str; 3]) -> [Value; 3] {
        let line = self.line();
        names.map(|name| line[name].clone())
    }
}

/// All lines of a log, once there are `count`.
pub fn lines(path: &Path, count: usize) -> Vec<Value> {
    let text = || fs::read_to_string(path).unwrap_or_default();
    eventually("all lines are written", || text().matches('\n').count() >= count);
    let text = text();
    assert_eq!(text.lines().count(), count, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
