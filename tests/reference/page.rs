//! The text of docs/reference.md.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::rows::{ROUTE, TOP};
use super::{
    bounds_text, flags, key_of, long, read, rows_of, sections, setting_flag, subcommands,
    value_name,
};

const OPENING: &str = "\
# Reference

Every flag and every key of the configuration file, written from the program's own tables by `UPDATE=1 cargo test
reference`; a test fails when this page is not what the program says, and tries every bound on it. Explanations are in
[flags](flags.md), [configuration](configuration.md) and [rules](rules.md).

A key is the long name of its flag with `_` for `-`. TIME is written as `500ms`, `5s`, `1m 30s` or `1h`, from `1ms` to
`7days` unless a range is given; SIZE in bytes, or as `16k` or `1m`; ADDR as `ip:port`, `[v6]:port`, `:port`, `name:port` or
`unix:/path`. *Reload* says whether a reload applies a change: *yes*, *no* (it is refused, and needs a restart or an
upgrade), or *at start* (it is ignored until then).

";

/// What is done once, before anything is served, and not looked at again.
const AT_START: [&str; 3] = ["daemon", "user", "group"];

pub(super) fn page() -> String {
    let mut page = OPENING.to_owned();
    page += "## Flags\n";
    let flags = flags();
    let mut headings: Vec<_> = flags.iter().filter_map(heading).collect();
    headings.dedup();
    for name in headings {
        let _ = writeln!(page, "\n### {name}\n");
        page += "| flag | key | takes | default | range | reload | meaning |\n|---|---|---|---|---|---|---|\n";
        for arg in flags.iter().filter(|arg| heading(arg).as_ref() == Some(&name)) {
            page += &flag_row(arg);
        }
    }
    page += "\n## Keys\n\nThose of flags are above; here are the others, and where keys of flags may be repeated.\n";
    for (section, keys) in sections() {
        let _ = write!(
            page,
            "\n### {section}\n\n| key | takes | default | range | meaning |\n|---|---|---|---|---|\n"
        );
        for key in keys.iter().filter(|key| section != TOP || setting_flag(key).is_none()) {
            page += &key_row(section, key);
        }
    }
    page += "\n## Other commands\n";
    for command in subcommands() {
        page += &command_section(&command);
    }
    page
}

fn flag_row(arg: &Arg) -> String {
    let short = arg.get_short().map_or_else(String::new, |short| format!("`-{short}`, "));
    let (meaning, default) = meaning_and_default(arg);
    let (key, reload) = match key_of(arg) {
        key if key.is_empty() => ("–".to_owned(), "–".to_owned()),
        key => (format!("`{key}`"), reload(&key)),
    };
    let range = match key_of(arg) {
        key if key.is_empty() => "–".to_owned(),
        key => bounds_text(TOP, &key),
    };
    let flag = long(arg);
    format!(
        "| {short}`--{flag}` | {key} | {} | {default} | {range} | {reload} | {meaning} |\n",
        takes(arg)
    )
}

fn key_row(section: &str, key: &str) -> String {
    let range = bounds_text(section, key);
    if let Some((_, takes, default, meaning)) = rows_of(section).iter().find(|row| row.0 == key) {
        return format!("| `{key}` | {takes} | {default} | {range} | {meaning} |\n");
    }
    let flag = setting_flag(key).expect("a row, or a flag");
    let takes = flags().iter().find(|arg| long(arg) == flag).map(takes).unwrap_or_default();
    let whose = if section == ROUTE { "that of the upstream" } else { "that of the top level" };
    format!("| `{key}` | {takes} | {whose} | {range} | as `--{flag}` |\n")
}

fn command_section(command: &Command) -> String {
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n### evener {name}\n\n{}.\n", plain(&about));
    let balancer: Vec<_> = flags().iter().map(long).collect();
    let is_own = |arg: &&Arg| {
        let is_of_balancer = balancer.contains(&long(arg));
        let heading = arg.get_help_heading().is_some();
        !arg.is_hide_set() && arg.get_id() != "help" && !(is_of_balancer && heading)
    };
    let own: Vec<_> = command.get_arguments().filter(is_own).collect();
    if command.get_arguments().any(|arg| arg.get_id() == "config") {
        text += "\nTakes the flags of the balancer, and:\n";
    }
    if !own.is_empty() {
        text += "\n| argument | takes | default | meaning |\n|---|---|---|---|\n";
    }
    for arg in own {
        let (meaning, default) = meaning_and_default(arg);
        let name = match arg.get_long() {
            Some(name) => format!("`--{name}`"),
            None => format!("`{}`", value_name(arg)),
        };
        let _ = writeln!(text, "| {name} | {} | {default} | {meaning} |", takes(arg));
    }
    text
}

fn takes(arg: &Arg) -> String {
    match (value_name(arg), arg.get_action()) {
        (name, _) if name.is_empty() => "–".to_owned(),
        (name, ArgAction::Append) => format!("{}, repeatable", plain(&name)),
        (name, _) => plain(&name),
    }
}

/// The first paragraph of its help, without the default that it may end in, and the default.
fn meaning_and_default(arg: &Arg) -> (String, String) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (meaning, said) = match help.split_once(" [default: ") {
        Some((meaning, default)) => (meaning, Some(default.trim_end_matches(']').to_owned())),
        None => (&*help, None),
    };
    let values = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let default = match values.collect::<Vec<_>>().join(",") {
        given if !given.is_empty() && value_name(arg).is_empty() => "off".to_owned(),
        given if !given.is_empty() => format!("`{given}`"),
        _ => match said {
            Some(text) => plain(&text),
            None if value_name(arg).is_empty() => "off".to_owned(),
            None => "–".to_owned(),
        },
    };
    (plain(meaning.trim_end_matches("; repeatable")), default)
}

fn heading(arg: &Arg) -> Option<String> {
    arg.get_help_heading().map(str::to_owned)
}

/// What a reload cannot change is what it says when it refuses: the texts in its table.
fn reload(key: &str) -> String {
    let source = read("src/control/reload.rs");
    let (_, table) = source.split_once("fn refuse_fixed").expect("the table of what is fixed");
    let table = table.split("\n    }\n").next().unwrap_or_default();
    let texts = table.split('"').skip(1).step_by(2);
    let fixed: Vec<_> =
        texts.flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    assert!(fixed.contains(&"threads"), "{fixed:?}");
    match key {
        key if fixed.contains(&key) => "no",
        key if AT_START.contains(&key) => "at start",
        _ => "yes",
    }
    .to_owned()
}

/// Text as Markdown in a cell of a table.
fn plain(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('*', "\\*").replace('<', "\\<");
    text.replace("[default: ", "[default ")
}
