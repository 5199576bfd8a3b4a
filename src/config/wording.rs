//! What to say of a configuration file that cannot be read, in the words of its users.

use super::setting::Setting;

/// Words that are natural for what is written in another way.
const OTHERWISE: [(&str, &str); 5] = [
    ("cert", "certificates: [{cert: FILE, key: FILE}]"),
    ("key", "certificates: [{cert: FILE, key: FILE}]"),
    ("no_http2", "http2: false"),
    ("upstream_verify", "upstream_insecure: true, or verify: false in an upstream"),
    ("verify", "upstream_insecure: true, or verify: false in an upstream"),
];

/// The library's error message without the place, which is reported separately, and without the names
/// of library options, which users cannot set.
pub(super) fn explain(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let text = [" (defined at line ", " at line "]
        .iter()
        .fold(&*text, |text, end| text.split_once(end).map_or(text, |(what, _)| what));
    let is_none = text.contains("into string") && text.contains("null");
    if is_none || text.starts_with("invalid type: unit value") {
        return "there is no value: write one, or leave the key out".to_owned();
    }
    if text.starts_with("multiple YAML documents") {
        return "there is more than one document: write one, without ---".to_owned();
    }
    if text.starts_with("budget breached") {
        return "the file is too large to be a configuration".to_owned();
    }
    let text = text.split(", set ").next().unwrap_or(text);
    text.replace("invalid boolean (strict mode expects true/false)", "expected true or false")
        .replace("unknown field", "unknown key")
        .replace("mapping key:", "key")
        .replace('`', "\"")
        .replace("expected string scalar", "expected a text")
        .replace("expected mapping start", "expected keys, as in {key: value}")
}

/// Says what was probably meant by a key.
pub(super) fn unknown(key: &str) -> String {
    if let Some((_, written)) = OTHERWISE.iter().find(|(known, _)| *known == key) {
        return format!("unknown key {key:?}: write {written}");
    }
    let known = Setting::all().into_iter().map(|setting| setting.key());
    let others = [
        "version",
        "include",
        "routes",
        "upstreams",
        "tcp",
        "certificates",
        "request_headers",
        "response_headers",
        "error_pages",
        "max_body",
    ];
    let keys = others.map(str::to_owned).into_iter().chain(known);
    match nearest(key, keys) {
        Some(near) => format!("unknown key {key:?}: did you mean {near}?"),
        None => format!("unknown key {key:?}: see the flags in evener --help, written with _"),
    }
}

/// The name among those that are known which was probably meant, if one is near enough.
pub(super) fn nearest<N: AsRef<str>>(name: &str, known: impl Iterator<Item = N>) -> Option<N> {
    let near = known.min_by_key(|known| distance(name, known.as_ref()));
    near.filter(|known| distance(name, known.as_ref()) <= 1 + name.len() / 3)
}

/// The Levenshtein distance: how many letters to change, add or remove to turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let kept = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
