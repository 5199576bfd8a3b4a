//! The sources of a configuration: the flags, including those set in a file, and the settings that only
//! a file has.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser};

use super::cli::{Cli, Flags, Job};
use super::entries::Said;
use super::environment::{Environment, UsedVariable};
use super::file::File;
use super::include::{self, Included, IncludedFile};
use super::mistake::{Mistake, Mistakes, Place};
use super::setting::{Arity, Setting};
use super::words;

/// Why the sources cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The command line asks for help, or for the version.
    Words(clap::Error),
    /// The command line or the file has mistakes.
    Mistakes(Vec<Mistake>),
}

impl Unreadable {
    fn of(error: clap::Error, words: &[String]) -> Self {
        if error.exit_code() == 0 {
            return Self::Words(error);
        }
        Self::Mistakes(vec![words::mistake(&error, words)])
    }

    /// The reasons, one line each.
    pub fn reasons(self) -> Vec<String> {
        match self {
            Self::Words(error) => vec![error.to_string().lines().next().unwrap_or_default().into()],
            Self::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Whether the file's routes and relays, which refer to upstreams, are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// All of them are.
    Written,
    /// Flags on the command line replace some of them.
    Typed,
}

/// The sources of a configuration.
#[derive(Debug)]
pub struct Sources {
    /// The flags in force.
    pub flags: Flags,
    /// The file, if there is one.
    pub file: Option<File>,
    /// What it includes.
    included: Included,
    /// Whether the file's routes and relays are in force.
    leads: Leads,
    /// The places of flag values that are set in the file, in order.
    places: HashMap<String, Vec<Place>>,
}

impl Sources {
    /// Flags without a file.
    pub fn typed(flags: Flags) -> Self {
        let (included, leads) = (Included::default(), Leads::Typed);
        Self { flags, file: None, included, leads, places: HashMap::new() }
    }

    /// Reads the command line, the file it names, and the files that this one includes. A flag on the command line takes precedence over
    /// the same key in the file, and also `--route` over `routes`, `--tcp` over `tcp` and `--cert` over
    /// `certificates`.
    pub fn read(words: &[String], environment: Environment<'_>) -> Result<(Cli, Self), Unreadable> {
        let words = &words::arranged(words)[..];
        let mistyped = |error| Unreadable::of(error, words);
        let cli = Cli::try_parse_from(words).map_err(mistyped)?;
        let Some(path) = cli.flags().and_then(|flags| flags.config.clone()) else {
            let flags = cli.flags().unwrap_or(&cli.flags).clone();
            return Ok((cli, Self::typed(flags)));
        };
        let main = include::read_main(&path, environment).map_err(Unreadable::Mistakes)?;
        let included = include::read(&main, environment).map_err(Unreadable::Mistakes)?;
        Self::layered(words, main.file, included).map_err(mistyped)
    }

    /// A file that no command line names.
    pub(super) fn of_file(file: File, included: Included) -> Result<Self, Unreadable> {
        let words = ["evener".to_owned()];
        let read = Self::layered(&words, file, included);
        read.map(|(_, sources)| sources).map_err(|error| Unreadable::of(error, &words))
    }

    /// Parses the command line again, with the settings of the file added as flags.
    fn layered(
        words: &[String],
        mut file: File,
        mut included: Included,
    ) -> Result<(Cli, Self), clap::Error> {
        let matches = Cli::command().try_get_matches_from(words)?;
        let is_job = matches.subcommand().is_some();
        let matches = matches.subcommand().map_or(&matches, |(_, inner)| inner);
        let mut written = Vec::new();
        let mut places: HashMap<String, Vec<Place>> = HashMap::new();
        for setting in &file.settings {
            if is_typed(matches, &setting.flag) {
                continue;
            }
            for text in &setting.values {
                match text.value.as_str() {
                    "true" if is_switch(&setting.flag) => {
                        written.push(format!("--{}", setting.flag));
                    }
                    "false" if is_switch(&setting.flag) => {}
                    value => written.push(format!("--{}={value}", setting.flag)),
                }
                let place = file.place(text.referenced);
                places.entry(setting.flag.clone()).or_default().push(place);
            }
        }
        let mut leads = Leads::Written;
        for file in std::iter::once(&mut file).chain(&mut included.files) {
            if is_typed(matches, "route") {
                file.routes.clear();
                leads = Leads::Typed;
            }
            if is_typed(matches, "tcp") {
                file.relays.clear();
                leads = Leads::Typed;
            }
            if is_typed(matches, "check") {
                file.check = None;
            }
            if is_typed(matches, "cert") || is_typed(matches, "key") {
                file.certificates.clear();
            }
        }
        // Added right after the program or subcommand, since the rest may contain `--`.
        let (named, rest) = words.split_at(1 + usize::from(is_job));
        let words = named.iter().chain(&written).chain(rest);
        let cli = Cli::try_parse_from(words)?;
        let flags = cli.flags().unwrap_or(&cli.flags).clone();
        Ok((cli, Self { flags, file: Some(file), included, leads, places }))
    }

    /// Where the value of a flag is set.
    pub fn place(&self, flag: &'static str) -> Place {
        self.nth_place(flag, 0)
    }

    /// Where the nth value of a repeatable flag is set.
    pub fn nth_place(&self, flag: &'static str, nth: usize) -> Place {
        let places = self.places.get(flag);
        let written = places.and_then(|places| places.get(nth).or(places.last()));
        let is_code = self.file.as_ref().is_some_and(File::is_code);
        let missing = || match Setting::key_of(flag) {
            key if is_code => Place::Item { name: key.into(), nth: 0 },
            _ => Place::Flag(flag.into()),
        };
        written.cloned().unwrap_or_else(missing)
    }

    /// A file that is named there: a relative path is that of the configuration file that names it.
    pub fn path(place: &Place, text: &str) -> PathBuf {
        place.relative(text)
    }

    /// The file and those that it includes.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.file.iter().chain(&self.included.files)
    }

    /// The files that are included.
    pub(super) fn included(&self) -> Vec<IncludedFile> {
        self.included.files.iter().map(IncludedFile::of).collect()
    }

    /// What is no mistake about the files, but may not be what was meant.
    pub(super) fn warnings(&self) -> &[String] {
        &self.included.warnings
    }

    /// Returns what was built if there are no mistakes; otherwise all of them, in the order of the files.
    pub(super) fn settle<T>(&self, mistakes: Mistakes, built: T) -> Result<T, Vec<Mistake>> {
        let files: Vec<&str> = self.files().map(|file| &*file.path).collect();
        mistakes.none(built, &files).map_err(|mistakes| {
            let hide = |Mistake { place, what }| Mistake { place, what: self.hide(what) };
            mistakes.into_iter().map(hide).collect()
        })
    }

    /// The same messages without what environment variables hold that may be a secret.
    pub(super) fn without_secrets(&self, messages: Vec<String>) -> Vec<String> {
        messages.into_iter().map(|message| self.hide(message)).collect()
    }

    /// The environment variables in the values of all files.
    pub(super) fn variables(&self) -> Vec<UsedVariable> {
        self.files().flat_map(File::variables).cloned().collect()
    }

    fn hide(&self, message: String) -> String {
        self.files().fold(message, |message, file| file.hide(message))
    }

    /// Whether unused upstreams in the file are a mistake: not if flags replace what used them.
    pub fn refuses_unused(&self) -> bool {
        self.leads == Leads::Written
    }

    /// Whether an address for HTTP is given, in plain text or over TLS.
    pub fn listens_for_http(&self) -> bool {
        !self.flags.listen.is_empty() || !self.flags.listen_tls.is_empty()
    }

    /// Whether there are any routes.
    pub fn any_routes(&self) -> bool {
        self.files().any(|file| !file.routes.is_empty()) || !self.flags.route.is_empty()
    }

    /// Whether there are any TCP relays.
    pub fn any_relays(&self) -> bool {
        self.files().any(|file| !file.relays.is_empty()) || !self.flags.tcp.is_empty()
    }
}

impl Cli {
    /// The flags of the balancer, if the subcommand has them.
    pub fn flags(&self) -> Option<&Flags> {
        match &self.job {
            None => Some(&self.flags),
            Some(Job::Explain(explain)) => Some(&explain.flags),
            Some(_) => None,
        }
    }
}

/// A file being read, and its mistakes.
pub(super) struct At<'a> {
    pub(super) file: &'a File,
    pub(super) mistakes: &'a mut Mistakes,
}

impl At<'_> {
    /// Parses a value that is present and valid, and returns `otherwise` if not.
    pub(super) fn over<T>(
        &mut self,
        said: Option<&Said>,
        parse: impl FnOnce(&str) -> Result<T, String>,
        otherwise: T,
    ) -> T {
        let Some(said) = said else { return otherwise };
        self.mistakes.note(&self.file.place(said.referenced), parse(&said.value), otherwise)
    }
}

fn is_typed(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(&flag.replace('-', "_")) == Some(ValueSource::CommandLine)
}

fn is_switch(flag: &str) -> bool {
    let is = |arity| matches!(arity, Arity::Switch | Arity::OffSwitch);
    Setting::all().iter().any(|known| known.flag == flag && is(known.arity))
}
