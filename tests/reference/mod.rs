//! Writes docs/reference.md from the program's own tables: flags from its command line, keys from what its file
//! is parsed into. A flag or a key that is missing there fails a test; so does a bound that the program has not.

mod page;
mod rows;
mod tried;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use clap::{Arg, CommandFactory};
use evener::config::cli::Cli;
use evener::config::entries::{
    CertificateFields, CheckFields, EndpointFields, QueueFields, RelayFields, StickyFields,
    UpstreamEntry,
};
use evener::config::route_entry::RouteEntry;
use evener::config::rule_entries::{
    HeadEditsFields, MirrorFields, RateLimitFields, RedirectFields, RespondFields,
};
use evener::config::setting::Setting;
use serde::de::{Deserialize, Deserializer, Visitor};

use self::page::page;
use self::rows::{
    BOUNDS, Bounds, CERTIFICATE, CHECK, EDITS, ENDPOINT, KEYS, Key, MIRROR, QUEUE, RATE, REDIRECT,
    RELAY, RESPOND, ROUTE, STICKY, TIMES, TOP, UPSTREAM,
};

const PAGE: &str = "docs/reference.md";
const REMEDY: &str = "put it into tests/reference/rows.rs";

/// Its name, what lists its keys, and a file that has room for one of them.
type Section = (&'static str, fn() -> Vec<String>, &'static str);

#[rustfmt::skip]
const SECTIONS: &[Section] = &[
    (TOP, top_level_keys, "@\nroutes: [{prefix: /, endpoints: ['127.0.0.1:1']}]"),
    (ROUTE, keys_of::<RouteEntry>, "routes: [{prefix: /, endpoints: ['127.0.0.1:1'], @}]"),
    (UPSTREAM, keys_of::<UpstreamEntry>, "upstreams: [{name: a, endpoints: ['127.0.0.1:1'], @}]\nroutes: [{prefix: /, upstream: a}]"),
    (ENDPOINT, keys_of::<EndpointFields>, "routes: [{prefix: /, endpoints: [{address: '127.0.0.1:1', @}]}]"),
    (CHECK, keys_of::<CheckFields>, "check: {http: /, @}\nroutes: [{prefix: /, endpoints: ['127.0.0.1:1']}]"),
    (QUEUE, keys_of::<QueueFields>, "upstreams: [{name: a, endpoints: ['127.0.0.1:1'], max_requests: 1, queue: {@}}]\nroutes: [{prefix: /, upstream: a}]"),
    (STICKY, keys_of::<StickyFields>, "upstreams: [{name: a, endpoints: ['127.0.0.1:1'], sticky: {cookie: c, @}}]\nroutes: [{prefix: /, upstream: a}]"),
    (RELAY, keys_of::<RelayFields>, ""),
    (CERTIFICATE, keys_of::<CertificateFields>, ""),
    (EDITS, keys_of::<HeadEditsFields>, ""),
    (REDIRECT, keys_of::<RedirectFields>, ""),
    (RESPOND, keys_of::<RespondFields>, "routes: [{prefix: /, respond: {@}}]"),
    (RATE, keys_of::<RateLimitFields>, "routes: [{prefix: /, endpoints: ['127.0.0.1:1'], rate_limit: {@}}]"),
    (MIRROR, keys_of::<MirrorFields>, "upstreams: [{name: m, endpoints: ['127.0.0.1:2']}]\nroutes: [{prefix: /, endpoints: ['127.0.0.1:1'], mirror: {upstream: m, @}}]"),
];

#[test]
fn the_reference_has_every_key() {
    let settings = top_level_settings();
    let mut found = Vec::new();
    for (section, keys, _) in SECTIONS {
        let written: BTreeSet<_> = rows_of(section).iter().map(|row| row.0).collect();
        let keys = keys();
        assert!(!keys.is_empty(), "{section} has no keys");
        let has_row = |key: &String| written.contains(key.as_str()) || settings.contains(key);
        let missing = keys.iter().filter(|key| !has_row(key));
        found.extend(missing.map(|key| format!("{section}: no row for `{key}`")));
        let is_gone = |key: &&&str| !keys.iter().any(|known| known == **key);
        found.extend(
            written.iter().filter(is_gone).map(|key| format!("{section}: `{key}` is no key")),
        );
    }
    verdict(&found, REMEDY);
}

#[test]
fn the_reference_has_the_bounds_of_every_number_and_time() {
    let missing = flags().into_iter().filter(|arg| {
        let is_bounded = ["N", "SIZE", "SHARE", "PERCENT", "MAX"].contains(&&*value_name(arg));
        let key = key_of(arg);
        is_bounded && !BOUNDS.iter().any(|bounds| bounds.section == TOP && bounds.key == key)
    });
    verdict(
        &missing.map(|arg| format!("no bounds of `--{}`", long(&arg))).collect::<Vec<_>>(),
        REMEDY,
    );
}

#[test]
fn the_reference_is_what_the_program_says() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path_of(PAGE), &page).expect("write");
    }
    let differs = read(PAGE).lines().zip(page.lines()).position(|(is, should)| is != should);
    assert!(
        read(PAGE) == page,
        "{PAGE} differs from line {}: UPDATE=1 cargo test reference",
        differs.map_or(0, |line| line + 1)
    );
}

fn verdict(found: &[String], remedy: &str) {
    assert!(found.is_empty(), "\n{}\n{remedy}\n", found.join("\n"));
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

// What the program knows.

pub(super) fn flags() -> Vec<Arg> {
    let own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    Cli::command().get_arguments().filter(own).cloned().collect()
}

pub(super) fn subcommands() -> Vec<clap::Command> {
    let command = Cli::command();
    let own = command.get_subcommands().filter(|command| !command.is_hide_set());
    own.filter(|command| command.get_name() != "help").cloned().collect()
}

pub(super) fn sections() -> Vec<(&'static str, Vec<String>)> {
    SECTIONS.iter().map(|(section, keys, _)| (*section, keys())).collect()
}

/// The flag that has this key.
pub(super) fn setting_flag(key: &str) -> Option<String> {
    Setting::of_key(key).map(|setting| setting.flag)
}

fn top_level_settings() -> BTreeSet<String> {
    Setting::all().iter().map(Setting::key).collect()
}

/// Those of flags, and those that the file's reader tells apart by name.
fn top_level_keys() -> Vec<String> {
    let reader = read("src/config/file.rs");
    let arms =
        reader.lines().filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\" =>"));
    let mut keys: Vec<_> = arms.map(|(key, _)| key.to_owned()).collect();
    assert!(keys.len() >= 9, "src/config/file.rs tells only these apart: {keys:?}");
    let of_flags: Vec<_> = Setting::all().iter().map(Setting::key).collect();
    keys.retain(|key| !of_flags.contains(key));
    keys.into_iter().chain(of_flags).collect()
}

/// The names of a type's fields, which is what serde asks for when it reads one.
fn keys_of<T: Deserialize<'static>>() -> Vec<String> {
    match T::deserialize(FieldNames) {
        Err(Asked(fields)) => fields.iter().map(|field| (*field).to_owned()).collect(),
        Ok(_) => Vec::new(),
    }
}

struct FieldNames;

#[derive(Debug)]
struct Asked(&'static [&'static str]);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Asked {}

impl serde::de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked(fields))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

// What is known of a flag or a key.

pub(super) fn long(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().to_owned()
}

pub(super) fn key_of(arg: &Arg) -> String {
    if long(arg) == "route" {
        return "routes".to_owned();
    }
    let setting = Setting::all().into_iter().find(|setting| setting.flag == long(arg));
    setting.map_or_else(String::new, |setting| setting.key())
}

pub(super) fn value_name(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let names = arg.get_value_names().filter(|_| takes).unwrap_or_default();
    names.first().map(ToString::to_string).unwrap_or_default()
}

pub(super) fn rows_of(section: &str) -> &'static [Key] {
    KEYS.iter().find(|(name, _)| *name == section).map_or(&[], |(_, rows)| rows)
}

fn bounds_of(section: &str, key: &str) -> Option<&'static Bounds> {
    let own = BOUNDS.iter().find(|bounds| (bounds.section, bounds.key) == (section, key));
    let is_own = rows_of(section).iter().any(|row| row.0 == key);
    let of_flag = || BOUNDS.iter().find(|bounds| (bounds.section, bounds.key) == (TOP, key));
    let is_time = || flags().iter().any(|arg| key_of(arg) == key && value_name(arg) == "TIME");
    own.or_else(|| of_flag().filter(|_| !is_own || key == "max_body"))
        .or_else(|| (!is_own && is_time()).then_some(&TIMES))
}

pub(super) fn bounds_text(section: &str, key: &str) -> String {
    let Some(bounds) = bounds_of(section, key) else { return "–".to_owned() };
    let or = if bounds.or.is_empty() { String::new() } else { format!(", or `{}`", bounds.or) };
    match key {
        "max_body" => format!("1 or more{or}"),
        _ => format!("`{}` to `{}`{or}", bounds.least, bounds.most),
    }
}
