//! The words of a command line: where its subcommand is, and what was meant by words that are none.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory};

use super::cli::Cli;
use super::mistake::{Mistake, Place};

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
        (ErrorKind::MissingRequiredArgument, _) => {
            let what = "is missing: write the path of the request, as in evener explain /api/users";
            let of_explain = words.get(1).is_some_and(|word| word == "explain");
            let place = if of_explain { Place::Argument("PATH") } else { COMMAND_LINE };
            let what = if of_explain { what.to_owned() } else { in_a_line(&error.to_string()) };
            Mistake { place, what }
        }
        (ErrorKind::InvalidValue, Some(shown))
            if flag.is_some() && value.as_deref().is_none_or(str::is_empty) =>
        {
            let shown = shown.replace(['<', '>'], "");
            in_flag(format!("a value is missing: write {shown}"))
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
        None if word.starts_with('-') => {
            format!("{word}: unknown flag: see {} --help", program(words))
        }
        None => {
            format!("{word:?} belongs to no flag: leave it out, or see {} --help", program(words))
        }
    };
    Mistake { place: COMMAND_LINE, what }
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
