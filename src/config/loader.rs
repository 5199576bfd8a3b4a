//! Reads the configuration of a process again.

use std::env::VarError;
use std::num::NonZeroUsize;

use super::mistake::Mistake;
use super::sources::{Sources, Unreadable};
use super::{Config, value};
use crate::net::interfaces::LocalAddresses;

/// Reads the same configuration again, for a reload.
#[derive(Clone, Debug)]
pub struct Loader {
    /// The command line.
    pub words: Vec<String>,
    /// Looks up environment variables.
    pub environment: fn(&str) -> Result<String, VarError>,
}

impl Loader {
    /// Reads the command line and its file again, for a process with this many threads. Returns all
    /// mistakes, one text each, if there are any.
    pub fn reload(&self, threads: NonZeroUsize) -> Result<Config, Vec<String>> {
        let read = Sources::read(&self.words, &self.environment);
        let (_, mut sources) = read.map_err(Unreadable::reasons)?;
        if value::number(&sources.flags.threads, 0, 0) == Ok(0) {
            // The number of cores may have changed; the number of threads cannot.
            sources.flags.threads = threads.to_string();
        }
        let told = |mistakes: Vec<Mistake>| mistakes.iter().map(ToString::to_string).collect();
        let local = LocalAddresses::default();
        Config::new(&sources, &value::resolve, &|ip| local.contains(ip)).map_err(told)
    }
}
