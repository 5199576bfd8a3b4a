//! The flags that a file can contain too, by their keys there.

use clap::{Arg, ArgAction, Args, Command};

use super::cli::Flags;

/// Flags that a file cannot contain: they are about the command itself, or written as `certificates`.
const COMMAND_ONLY: [&str; 5] = ["config", "test", "upgrade", "cert", "key"];

/// What flags begin with that turn something off.
const OFF: &str = "no-";

/// A flag that can also be set in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its long name, without dashes.
    pub flag: String,
    /// How many values it takes.
    pub arity: Arity,
    /// A value in a file: its default, or what the help calls it.
    pub example: String,
}

/// How many values a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// None: it is present or not.
    Switch,
    /// None: `no-` is in front of what is on without it.
    OffSwitch,
    /// One.
    One,
    /// One each time it is given; repeatable.
    Many,
}

impl Setting {
    /// All settings.
    pub fn all() -> Vec<Self> {
        let command = Flags::augment_args(Command::new("evener"));
        let setting = |arg: &Arg| {
            let flag = arg.get_long().filter(|flag| !COMMAND_ONLY.contains(flag))?.to_owned();
            let arity = match arg.get_action() {
                ArgAction::SetTrue if flag.starts_with(OFF) => Arity::OffSwitch,
                ArgAction::SetTrue => Arity::Switch,
                ArgAction::Append => Arity::Many,
                _ => Arity::One,
            };
            let named = arg.get_value_names().and_then(|names| names.first());
            let named = named.map(ToString::to_string);
            let default = arg.get_default_values().first();
            let default = default.map(|value| value.to_string_lossy().into_owned());
            let example = match arity {
                Arity::Switch => "true".to_owned(),
                Arity::OffSwitch => "false".to_owned(),
                Arity::One => default.or(named).unwrap_or_default(),
                Arity::Many => format!("[{}]", named.unwrap_or_default()),
            };
            Some(Self { flag, arity, example })
        };
        command.get_arguments().filter_map(setting).collect()
    }

    /// The setting with this key in a file.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::all().into_iter().find(|setting| setting.key() == key)
    }

    /// Its key in a file: of what a flag turns off, the name of that.
    pub fn key(&self) -> String {
        Self::key_of(&self.flag)
    }

    /// The key of a flag.
    pub(super) fn key_of(flag: &str) -> String {
        flag.strip_prefix(OFF).unwrap_or(flag).replace('-', "_")
    }
}
