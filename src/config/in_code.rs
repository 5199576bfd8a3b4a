//! Configurations for whoever embeds the balancer.

use std::env::VarError;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::builder::ConfigBuilder;
use super::document::Document;
use super::errors::ConfigErrors;
use super::file::{File, FileRole};
use super::include::{self, Main};
use super::loader::Loader;
use super::mistake::{Mistake, Place};
use super::sources::{Sources, Unreadable};
use super::{Config, value};
use crate::net::interfaces::LocalAddresses;

/// What a text is called in messages about it.
const TEXT_NAME: &str = "configuration";

/// What a configuration refers to as `${NAME}`.
fn environment(name: &str) -> Result<String, VarError> {
    std::env::var(name)
}

impl Config {
    /// Reads what the command line of `evener` would say, without the name of the program; a file that it names
    /// (`--config`) is read again by a reload.
    ///
    /// ```
    /// let config = evener::Config::from_words(["--listen", "127.0.0.1:8080", "--route", "/=10.0.0.1:80"])?;
    /// # Ok::<(), evener::ConfigErrors>(())
    /// ```
    pub fn from_words(
        words: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ConfigErrors> {
        let name = std::iter::once("evener".to_owned());
        Self::load(&Loader {
            words: name.chain(words.into_iter().map(Into::into)).collect(),
            environment,
        })
    }

    /// Reads a configuration file's text. Relative paths in it are those of the working directory.
    ///
    /// ```
    /// let config = evener::Config::from_yaml("routes: [{prefix: /, endpoints: [10.0.0.1:80]}]")?;
    /// # Ok::<(), evener::ConfigErrors>(())
    /// ```
    pub fn from_yaml(text: &str) -> Result<Self, ConfigErrors> {
        Self::of_text(text, TEXT_NAME, FileRole::Main)
    }

    /// Builds one in code.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    pub(super) fn of_document(document: &Document) -> Result<Self, ConfigErrors> {
        Self::of_text(&document.text, TEXT_NAME, FileRole::Code(&document.items))
    }

    /// Validates the sources, with the names and addresses of this machine.
    pub fn of(sources: &Sources) -> Result<Self, ConfigErrors> {
        let local = LocalAddresses::default();
        let config = Self::new(sources, &value::resolve, &|ip| local.contains(ip))?;
        Ok(config)
    }

    fn load(loader: &Loader) -> Result<Self, ConfigErrors> {
        let (cli, sources) = Sources::read(&loader.words, &loader.environment)?;
        let refused = [(cli.job.is_some(), "subcommands"), (sources.flags.test, "--test")];
        if let Some((_, named)) = refused.iter().find(|(is_given, _)| *is_given) {
            let what = format!("{named}: only the program evener has that");
            return Err(vec![Mistake { place: Place::Argument("command line"), what }].into());
        }
        let mut config = Self::of(&sources)?;
        config.loader = Some(Arc::new(loader.clone()));
        Ok(config)
    }

    fn of_text(text: &str, name: &str, role: FileRole<'_>) -> Result<Self, ConfigErrors> {
        let file = File::parse(name, text.as_bytes(), role, &environment)?;
        let main = Main { file, bytes: text.len() as u64 };
        let included = include::read(&main, &environment)?;
        Self::of(&Sources::of_file(main.file, included)?)
    }
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
        Config::of(&sources).map_err(|errors| errors.lines())
    }
}
