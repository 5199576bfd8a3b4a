//! How the configuration of a process is read again.

use std::env::VarError;

/// Reads the same configuration again, for a reload.
#[derive(Clone, Debug)]
pub struct Loader {
    /// The command line.
    pub words: Vec<String>,
    /// Looks up environment variables.
    pub environment: fn(&str) -> Result<String, VarError>,
}
