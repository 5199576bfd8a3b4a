//! What a configuration is made of: the flags, those that are written in a file among them, and what
//! only a file can say.

use std::collections::HashMap;
use std::io::{self, Read};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser};
use serde_saphyr::Spanned;

use super::cli::{Cli, Flags, Job};
use super::file::{FILE_BYTES_MAX, File, RelayEntry};
use super::mistake::{Mistake, Place};

/// Why there are no sources.
#[derive(Debug)]
pub enum Unreadable {
    /// The command line is none of ours, or asks for help.
    Words(clap::Error),
    /// The file makes no sense.
    Mistakes(Vec<Mistake>),
}

impl Unreadable {
    /// Each in a line.
    pub fn reasons(self) -> Vec<String> {
        match self {
            Self::Words(error) => vec![error.to_string().lines().next().unwrap_or_default().into()],
            Self::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Where what leads to upstreams comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// All that is written is in force.
    Written,
    /// Flags were typed in place of some.
    Typed,
}

/// What a configuration is made of.
#[derive(Debug)]
pub struct Sources {
    /// The flags in force.
    pub flags: Flags,
    /// What was written besides.
    pub file: Option<File>,
    /// Whether what leads to the file's upstreams is in force, too.
    leads: Leads,
    /// Where the values of flags stand that were written in the file, in order.
    places: HashMap<String, Vec<Place>>,
}

impl Sources {
    /// Flags without a file.
    pub fn typed(flags: Flags) -> Self {
        Self { flags, file: None, leads: Leads::Typed, places: HashMap::new() }
    }

    /// Reads the command line, and the file it names. A flag that is typed wins over the same key of
    /// the file; `--route` over `routes`, too, and `--tcp` over `tcp`.
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

    /// The command line with the words in it that the file stands for.
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
            for said in &setting.values {
                match said.value.as_str() {
                    "true" if is_switch(&setting.flag) => {
                        written.push(format!("--{}", setting.flag));
                    }
                    "false" if is_switch(&setting.flag) => {}
                    value => written.push(format!("--{}={value}", setting.flag)),
                }
                let place = file.place(said.referenced);
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
        // Behind the name of the program or of its job: what follows may end in `--`.
        let (named, rest) = words.split_at(1 + usize::from(is_job));
        let words = named.iter().chain(&written).chain(rest);
        let cli = Cli::try_parse_from(words)?;
        let flags = cli.flags().unwrap_or(&cli.flags).clone();
        Ok((cli, Self { flags, file: Some(file), leads, places }))
    }

    /// Where the value of a flag was said.
    pub fn place(&self, flag: &'static str) -> Place {
        self.nth_place(flag, 0)
    }

    /// Where the nth value of a repeatable flag was said.
    pub fn nth_place(&self, flag: &'static str, nth: usize) -> Place {
        let places = self.places.get(flag);
        let written = places.and_then(|places| places.get(nth).or(places.last()));
        written.cloned().unwrap_or(Place::Flag(flag.into()))
    }

    /// Whether an upstream of the file that nothing leads to is a mistake: not if flags were typed in
    /// place of what did.
    pub fn refuses_unused(&self) -> bool {
        self.leads == Leads::Written
    }

    /// Whether any request is to be routed.
    pub fn any_routes(&self) -> bool {
        let written = self.file.as_ref().is_some_and(|file| !file.routes.is_empty());
        written || !self.flags.route.is_empty()
    }

    /// Whether any connection is to be passed on as it is.
    pub fn any_relays(&self) -> bool {
        !self.relays().is_empty() || !self.flags.tcp.is_empty()
    }

    /// The relays of the file.
    pub fn relays(&self) -> &[Spanned<RelayEntry>] {
        self.file.as_ref().map_or(&[], |file| &file.relays)
    }
}

impl Cli {
    /// The flags of the balancer, if the job is about one.
    pub fn flags(&self) -> Option<&Flags> {
        match &self.job {
            None => Some(&self.flags),
            Some(Job::Explain(explain)) => Some(&explain.flags),
            Some(Job::Demo(_) | Job::Origin(_)) => None,
        }
    }
}

fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("larger than {FILE_BYTES_MAX} bytes, which no configuration is");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

fn is_typed(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(&flag.replace('-', "_")) == Some(ValueSource::CommandLine)
}

fn is_switch(flag: &str) -> bool {
    use crate::config::cli::{Arity, Setting};
    Setting::all().iter().any(|known| known.flag == flag && known.arity == Arity::Switch)
}
