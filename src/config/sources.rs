//! The sources of a configuration: the flags, including those set in a file, and the settings that only
//! a file has.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser};
use serde_saphyr::Spanned;

use super::cli::{Cli, Flags, Job};
use super::entries::{CertificateEntry, RelayEntry, Said};
use super::file::{FILE_BYTES_MAX, File};
use super::mistake::{Mistake, Mistakes, Place};

/// Why the sources cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The command line is invalid, or asks for help.
    Words(clap::Error),
    /// The file has mistakes.
    Mistakes(Vec<Mistake>),
}

impl Unreadable {
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
    /// Whether the file's routes and relays are in force.
    leads: Leads,
    /// The places of flag values that are set in the file, in order.
    places: HashMap<String, Vec<Place>>,
}

impl Sources {
    /// Flags without a file.
    pub fn typed(flags: Flags) -> Self {
        Self { flags, file: None, leads: Leads::Typed, places: HashMap::new() }
    }

    /// Reads the command line and the file it names. A flag on the command line takes precedence over
    /// the same key in the file, and also `--route` over `routes`, `--tcp` over `tcp` and `--cert` over
    /// `certificates`.
    pub fn read(words: &[String]) -> Result<(Cli, Self), Unreadable> {
        let cli = Cli::try_parse_from(words).map_err(Unreadable::Words)?;
        let Some(path) = cli.flags().and_then(|flags| flags.config.clone()) else {
            let flags = cli.flags().unwrap_or(&cli.flags).clone();
            return Ok((cli, Self::typed(flags)));
        };
        let unreadable = |error: io::Error| {
            let what = format!("{path}: {error}");
            Unreadable::Mistakes(vec![Mistake::in_flag("config", what)])
        };
        let bytes = read_file(&path).map_err(unreadable)?;
        let file = File::parse(&path, &bytes).map_err(Unreadable::Mistakes)?;
        Self::layered(words, file).map_err(Unreadable::Words)
    }

    /// Parses the command line again, with the settings of the file added as flags.
    fn layered(words: &[String], mut file: File) -> Result<(Cli, Self), clap::Error> {
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
        // Added right after the program or subcommand, since the rest may contain `--`.
        let (named, rest) = words.split_at(1 + usize::from(is_job));
        let words = named.iter().chain(&written).chain(rest);
        let cli = Cli::try_parse_from(words)?;
        let flags = cli.flags().unwrap_or(&cli.flags).clone();
        Ok((cli, Self { flags, file: Some(file), leads, places }))
    }

    /// Where the value of a flag is set.
    pub fn place(&self, flag: &'static str) -> Place {
        self.nth_place(flag, 0)
    }

    /// Where the nth value of a repeatable flag is set.
    pub fn nth_place(&self, flag: &'static str, nth: usize) -> Place {
        let places = self.places.get(flag);
        let written = places.and_then(|places| places.get(nth).or(places.last()));
        written.cloned().unwrap_or(Place::Flag(flag.into()))
    }

    /// A file that is named there: a relative path is that of the configuration file that names it.
    pub fn path(place: &Place, text: &str) -> PathBuf {
        match place {
            Place::File { path, .. } => {
                Path::new(&**path).parent().unwrap_or(Path::new("")).join(text)
            }
            Place::Flag(_) | Place::Argument(_) => text.into(),
        }
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
        let written = self.file.as_ref().is_some_and(|file| !file.routes.is_empty());
        written || !self.flags.route.is_empty()
    }

    /// Whether there are any TCP relays.
    pub fn any_relays(&self) -> bool {
        !self.relays().is_empty() || !self.flags.tcp.is_empty()
    }

    /// The certificates of the file.
    pub fn certificates(&self) -> &[Spanned<CertificateEntry>] {
        self.file.as_ref().map_or(&[], |file| &file.certificates)
    }

    /// The relays of the file.
    pub fn relays(&self) -> &[Spanned<RelayEntry>] {
        self.file.as_ref().map_or(&[], |file| &file.relays)
    }
}

impl Cli {
    /// The flags of the balancer, if the subcommand has them.
    pub fn flags(&self) -> Option<&Flags> {
        match &self.job {
            None => Some(&self.flags),
            Some(Job::Explain(explain)) => Some(&explain.flags),
            Some(Job::Demo(_) | Job::Origin(_)) => None,
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

fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

fn is_typed(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(&flag.replace('-', "_")) == Some(ValueSource::CommandLine)
}

fn is_switch(flag: &str) -> bool {
    use crate::config::setting::{Arity, Setting};
    let is = |arity| matches!(arity, Arity::Switch | Arity::OffSwitch);
    Setting::all().iter().any(|known| known.flag == flag && is(known.arity))
}
