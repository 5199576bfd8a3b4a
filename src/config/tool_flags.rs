//! The flags of the subcommands that are there for packages, containers and monitoring.

// Help is read in a terminal, where Markdown would only get in the way.
#![allow(clippy::doc_markdown)]

use clap::Args;
use clap_complete::Shell;

/// Where the packages of Evener have the admin listener.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:9901";

/// The flags of `evener health`.
#[derive(Debug, Args)]
pub struct HealthFlags {
    /// Admin listener of the balancer: ip:port, name:port, :port of this machine, or unix:/path
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADMIN)]
    pub admin: String,
    /// Ask only whether the process answers (/healthz), and not whether it takes new connections (/readyz)
    #[arg(long)]
    pub live: bool,
    /// Maximum time to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub timeout: String,
}

/// The flags of `evener top`.
#[derive(Debug, Args)]
pub struct TopFlags {
    /// Admin listener of the balancer: ip:port, name:port, :port of this machine, or unix:/path
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADMIN)]
    pub admin: String,
    /// File with the token that the admin listener requires [default: none]
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<String>,
    /// How often to ask, 100ms to 60s; rates and latencies are of the last such interval
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: String,
    /// Print one snapshot and exit, after one interval
    #[arg(long)]
    pub once: bool,
}

/// The flags of `evener completions`.
#[derive(Debug, Args)]
pub struct CompletionsFlags {
    /// Shell that is to read the script
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// The flags of `evener man`.
#[derive(Debug, Args)]
pub struct ManFlags {
    /// Subcommand that the page is about [default: the balancer]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// The flags of `evener demo`.
#[derive(Debug, Args)]
pub struct DemoFlags {
    /// Where the balancer listens [default: 127.0.0.1:8080, with --tls 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where its live page is, an ip:port [default: 127.0.0.1:9901, or another port if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Requests per second that it sends itself, so that the page has something to show, 0 to 200; none with --tls
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(..=200))]
    pub rate: u16,
    /// Listen for HTTPS, with a self-signed certificate that is made for the occasion
    #[arg(long)]
    pub tls: bool,
}
