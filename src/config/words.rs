//! The words of a command line: where its subcommand is, and what was meant by words that are none.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory};

use super::cli::Cli;
use super::mistake::{Mistake, Place};
use super::unknown::nearest;

/// Flags of other programs, with ours.
const OTHERWISE: [(&str, &str); 14] = [
    ("port", "--listen :8080"),
    ("bind", "--listen :8080"),
    ("workers", "--threads N"),
    ("worker-threads", "--threads N"),
    ("upstream", "--route /=127.0.0.1:3000"),
    ("backend", "--route /=127.0.0.1:3000"),
    ("backends", "--route /=127.0.0.1:3000"),
    ("target", "--route /=127.0.0.1:3000"),
    ("server", "--route /=127.0.0.1:3000"),
    (
        "timeout",
        "the one that is meant, such as --response-timeout, --idle-timeout or --connect-timeout",
    ),
    ("tls-cert", "--cert FILE"),
    ("tls-key", "--key FILE"),
    ("health-check", "--check http:/health"),
    ("verbose", "--log-level debug"),
];

/// How a running balancer is told what to do.
const BY_SIGNAL: &str =
    "signals tell a running process what to do: kill -HUP PID reloads, -QUIT upgrades, -TERM ends";

/// What one argument of a command line may be taken for.
const COMMAND_LINE: Place = Place::Argument("command line");

/// The words with the subcommand, if there is one, right after the program: flags may stand before it too.
pub(super) fn arranged(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(at) = subcommand(&words) {
        words[1..=at].rotate_right(1);
    }
    words
}

/// The subcommand in these words, if there is one.
pub(crate) fn job(words: &[String]) -> Option<&str> {
    words.get(subcommand(words)?).map(String::as_str)
}

/// Where the subcommand is.
fn subcommand(words: &[String]) -> Option<usize> {
    let command = Cli::command();
    let flags = Flags::of(&command);
    let mut at = 1;
    while let Some(word) = words.get(at).filter(|word| *word != "--") {
        if !word.starts_with('-') || word == "-" {
            let is_known = word == "help" || command.find_subcommand(word).is_some();
            return is_known.then_some(at);
        }
        at += if flags.take_next(word) { 2 } else { 1 };
    }
    None
}

/// The flags of the balancer and of all subcommands.
struct Flags<'a>(Vec<&'a Arg>);

impl<'a> Flags<'a> {
    fn of(command: &'a Command) -> Self {
        let own = command.get_arguments();
        Self(own.chain(command.get_subcommands().flat_map(Command::get_arguments)).collect())
    }

    fn any_with_value(&self, is_it: impl Fn(&Arg) -> bool) -> bool {
        self.0.iter().any(|arg| is_it(arg) && arg.get_action().takes_values())
    }

    /// Whether the value of the flags in this word is the next word.
    fn take_next(&self, word: &str) -> bool {
        if let Some(long) = word.strip_prefix("--") {
            return !long.contains('=') && self.any_with_value(|arg| arg.get_long() == Some(long));
        }
        let takes = |short: char| self.any_with_value(|arg| arg.get_short() == Some(short));
        // What follows a flag with a value is that.
        let with_value = word[1..].char_indices().find(|(_, short)| takes(*short));
        with_value.is_some_and(|(at, short)| at + short.len_utf8() == word.len() - 1)
    }
}

/// What is wrong with words that could not be parsed, and what was probably meant.
pub(super) fn mistake(error: &clap::Error, words: &[String]) -> Mistake {
    let invalid = context(error, ContextKind::InvalidArg);
    let flag = invalid.as_deref().and_then(|shown| shown.split([' ', '=']).next());
    let flag = flag.and_then(|shown| shown.strip_prefix("--")).map(str::to_owned);
    let in_flag = |what: String| {
        let place = flag.clone().map_or(COMMAND_LINE, |flag| Place::Flag(flag.into()));
        Mistake { place, what }
    };
    let value = context(error, ContextKind::InvalidValue);
    match (error.kind(), &invalid) {
        (ErrorKind::UnknownArgument, Some(shown)) if flag.is_some() => {
            in_flag(unknown(shown, error, words))
        }
        (ErrorKind::UnknownArgument, Some(word)) => surplus(word, error, words),
        (ErrorKind::InvalidSubcommand, _) => surplus(
            &context(error, ContextKind::InvalidSubcommand).unwrap_or_default(),
            error,
            words,
        ),
        (ErrorKind::MissingRequiredArgument, _) => missing(error, words),
        (ErrorKind::InvalidValue, Some(shown)) if flag.is_none() => {
            let (place, known) = (argument(shown), choices(error));
            let what =
                format!("{:?} is none of {known}: write one of them", value.unwrap_or_default());
            Mistake { place, what }
        }
        (ErrorKind::InvalidValue, Some(shown))
            if flag.is_some() && value.as_deref().is_none_or(str::is_empty) =>
        {
            let shown = shown.replace(['<', '>'], "");
            in_flag(format!("a value is missing: write {shown}"))
        }
        (ErrorKind::ValueValidation, Some(_)) if flag.is_some() => {
            let shown = value.unwrap_or_default();
            let why = std::error::Error::source(error).map_or(String::new(), ToString::to_string);
            let why = if why.contains("digit") { "expected a number".to_owned() } else { why };
            in_flag(format!("invalid value {shown:?}: {why}: see {} --help", program(words)))
        }
        (ErrorKind::TooManyValues, Some(_)) if value.is_some() => {
            in_flag(format!("takes no value: leave ={} out", value.unwrap_or_default()))
        }
        (ErrorKind::ArgumentConflict, Some(shown))
            if context(error, ContextKind::PriorArg).as_ref() == Some(shown) =>
        {
            in_flag("is given twice: leave one out".to_owned())
        }
        _ => in_flag(in_a_line(&error.to_string())),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// An argument of a subcommand that is required.
fn missing(error: &clap::Error, words: &[String]) -> Mistake {
    let what = match words.get(1).map(String::as_str) {
        Some("explain") => {
            "is missing: write the path of the request, as in evener explain /api/users"
        }
        Some("completions") => {
            "is missing: write the name of your shell, as in evener completions bash, fish or zsh"
        }
        _ => return Mistake { place: COMMAND_LINE, what: in_a_line(&error.to_string()) },
    };
    let shown = context(error, ContextKind::InvalidArg).unwrap_or_default();
    Mistake { place: argument(&shown), what: what.to_owned() }
}

/// A positional argument that clap shows so.
fn argument(shown: &str) -> Place {
    match shown.trim_matches(['<', '>', '[', ']', '.']) {
        "PATH" => Place::Argument("PATH"),
        "SHELL" => Place::Argument("SHELL"),
        _ => COMMAND_LINE,
    }
}

/// The values that an argument takes.
fn choices(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => values.join(", "),
        _ => String::new(),
    }
}

/// A flag that there is not.
fn unknown(shown: &str, error: &clap::Error, words: &[String]) -> String {
    let name = shown.trim_start_matches('-');
    let otherwise = OTHERWISE.iter().find(|(known, _)| *known == name);
    let near = context(error, ContextKind::SuggestedArg);
    match (otherwise, near) {
        (Some((_, written)), _) => format!("unknown flag: write {written}"),
        (None, Some(near)) => format!("unknown flag: did you mean {near}?"),
        (None, None) => format!("unknown flag: see {} --help", program(words)),
    }
}

/// The program, with its subcommand if there is one.
fn program(words: &[String]) -> String {
    let known = words.get(1).filter(|word| Cli::command().find_subcommand(word).is_some());
    known.map_or("evener".to_owned(), |word| format!("evener {word}"))
}

/// A word that is neither a flag nor its value.
fn surplus(word: &str, error: &clap::Error, words: &[String]) -> Mistake {
    let command = Cli::command();
    let flags = Flags::of(&command);
    let at = words.iter().rposition(|known| known == word);
    let before = at.and_then(|at| words.get(at.checked_sub(2)?..at));
    if let Some([flag, value]) = before
        && let Some(name) = flag.strip_prefix("--").filter(|_| flags.take_next(flag))
    {
        let what = if ["route", "tcp"].contains(&name) && !value.contains('=') {
            format!("{value:?} has no '=': write --{name} {value}={word}")
        } else {
            format!(
                "takes one value, and here is {word:?} too: write --{name} again in front of it"
            )
        };
        return Mistake { place: Place::Flag(name.to_owned().into()), what };
    }
    let near = context(error, ContextKind::SuggestedSubcommand);
    let what = match near {
        Some(near) => format!("{word:?} is no subcommand: did you mean {near}?"),
        None if word.starts_with('-') => short(word, &command, words),
        None => stray(word, &command, words),
    };
    Mistake { place: COMMAND_LINE, what }
}

/// A short flag that there is not. It may be a long one whose second dash is missing.
fn short(word: &str, command: &Command, words: &[String]) -> String {
    let given = |name: &&str| words.iter().any(|word| word.strip_prefix('-') == Some(*name));
    let mut longs = command.get_arguments().filter_map(Arg::get_long);
    match longs.find(given) {
        Some(name) => format!("-{name}: unknown flag: write --{name}"),
        None if word == "-s" => format!("-s: unknown flag: {BY_SIGNAL}"),
        None => format!("{}: unknown flag: see {} --help", word.escape_debug(), program(words)),
    }
}

/// A word where none is expected: a subcommand that is misspelt, a file without its flag, or what other programs are
/// told on their command lines.
fn stray(word: &str, command: &Command, words: &[String]) -> String {
    let is_file = [".yaml", ".yml", ".conf", ".toml"].iter().any(|end| word.ends_with(end));
    let names = command.get_subcommands().map(Command::get_name);
    match nearest(word, names.filter(|_| program(words) == "evener")) {
        Some(near) => format!("{word:?} is no subcommand: did you mean {near}?"),
        None if is_file => format!("{word:?} belongs to no flag: write -c {word}"),
        None if ["reload", "stop", "quit", "restart", "upgrade"].contains(&word) => {
            format!("{word:?} is no subcommand: {BY_SIGNAL}")
        }
        None => {
            format!("{word:?} belongs to no flag: leave it out, or see {} --help", program(words))
        }
    }
}

/// What clap says in a paragraph: the error, and its tip if it has one.
pub(super) fn in_a_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let error = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: ")).unwrap_or("see evener --help");
    format!("{error}; {tip}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrange(text: &str) -> String {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        arranged(&words).join(" ")
    }

    #[test]
    fn flags_may_stand_before_a_subcommand() {
        let rows = [
            ("evener -c a explain /", "evener explain -c a /"),
            ("evener -tc a explain /", "evener explain -tc a /"),
            ("evener -ca explain /", "evener explain -ca /"),
            ("evener --route /=a:1 -t explain / x", "evener explain --route /=a:1 -t / x"),
            ("evener --route=/=a:1 explain /", "evener explain --route=/=a:1 /"),
            ("evener --name o origin", "evener origin --name o"),
            ("evener -c explain", "evener -c explain"),
            ("evener --route explain demo", "evener demo --route explain"),
            ("evener -- explain", "evener -- explain"),
            ("evener x explain", "evener x explain"),
            ("evener explain explain", "evener explain explain"),
            ("evener", "evener"),
        ];
        for (text, expected) in rows {
            assert_eq!(arrange(text), expected, "{text}");
        }
    }
}
