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
    /// Address of the admin listener: ip:port or unix:/path
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
