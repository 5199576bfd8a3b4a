//! The files that a configuration file includes, by name or by a pattern.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::Said;
use super::environment::Environment;
use super::file::{FILE_BYTES_MAX, File, FileRole};
use super::mistake::Mistake;

/// The most files that are included.
const FILES_MAX: usize = 10_000;

/// A file that is included, for whoever wants to know which were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncludedFile {
    /// Its path.
    pub path: Arc<str>,
    /// What is taken from it, such as `2 routes, 1 upstream`.
    pub contents: String,
}

impl IncludedFile {
    pub(super) fn of(file: &File) -> Self {
        let File { routes, upstreams, relays, certificates, .. } = file;
        let counts = [
            (routes.len(), "route"),
            (upstreams.len(), "upstream"),
            (relays.len(), "relay"),
            (certificates.len(), "certificate"),
        ];
        let counted = counts.iter().filter(|(count, _)| *count > 0);
        let counted = counted
            .map(|(count, name)| format!("{count} {name}{}", if *count == 1 { "" } else { "s" }));
        let counted: Vec<String> = counted.collect();
        let contents = if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") };
        Self { path: Arc::clone(&file.path), contents }
    }
}

/// What is included.
#[derive(Debug, Default)]
pub(super) struct Included {
    /// The files: in the order of `include`, those of a pattern by name.
    pub(super) files: Vec<File>,
    /// What is no mistake, but may not be what was meant.
    pub(super) warnings: Vec<String>,
}

/// Reads the configuration file at this path.
pub(super) fn read_main(path: &str, environment: Environment<'_>) -> Result<Main, Vec<Mistake>> {
    let bytes = read_file(Path::new(path), FILE_BYTES_MAX)
        .map_err(|error| vec![Mistake::in_flag("config", format!("{path}: {error}"))])?;
    let file = File::parse(path, &bytes, FileRole::Main, environment)?;
    Ok(Main { file, bytes: bytes.len() as u64 })
}

/// A configuration file that has been read.
pub(super) struct Main {
    pub(super) file: File,
    pub(super) bytes: u64,
}

/// Reads what it includes; returns all mistakes in all of the files, if there are any.
pub(super) fn read(main: &Main, environment: Environment<'_>) -> Result<Included, Vec<Mistake>> {
    let mut included = Included::default();
    let mut mistakes = Vec::new();
    let mut seen = HashSet::new();
    let mut left = FILE_BYTES_MAX - main.bytes.min(FILE_BYTES_MAX);
    seen.extend(fs::canonicalize(&*main.file.path));
    for said in &main.file.include {
        let place = main.file.place(said.referenced);
        let paths = match find(said, &place.relative(&said.value)) {
            Ok(paths) => paths,
            Err(what) => {
                mistakes.push(Mistake { place, what });
                continue;
            }
        };
        if paths.is_empty() {
            included.warnings.push(format!("{place}: {:?} matches no file", said.value));
        }
        for path in paths {
            let name = path.to_string_lossy();
            let mut told = |what| mistakes.push(Mistake { place: place.clone(), what });
            // A file is taken once, whatever names it: also this one, by a pattern for its own directory.
            if fs::canonicalize(&path).is_ok_and(|path| !seen.insert(path)) {
                continue;
            }
            if seen.len() > FILES_MAX {
                told(format!("more than {FILES_MAX} files are included"));
                return Err(mistakes);
            }
            let bytes = match read_file(&path, left) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    told(format!("{name}: with it, there are more than {FILE_BYTES_MAX} bytes"));
                    return Err(mistakes);
                }
                Err(error) => {
                    told(format!("{name}: {error}"));
                    continue;
                }
            };
            left -= bytes.len() as u64;
            let role = FileRole::Included { by: &main.file.path };
            match File::parse(&name, &bytes, role, environment) {
                Ok(file) => included.files.push(file),
                Err(more) => mistakes.extend(more),
            }
        }
    }
    if mistakes.is_empty() { Ok(included) } else { Err(mistakes) }
}

/// The files that a name or a pattern stands for.
fn find(said: &Said, path: &Path) -> Result<Vec<PathBuf>, String> {
    let text = &said.value;
    let (folder, last) = text.rsplit_once('/').unwrap_or(("", text));
    if last.is_empty() {
        return Err(format!(
            "{text:?} names no file: write a path, or a pattern such as conf.d/*.yaml"
        ));
    }
    let has_wildcard = |text: &str| text.contains(['*', '?']);
    if has_wildcard(folder) {
        return Err(format!(
            "{text:?}: * and ? may stand in the name of a file only, not in a directory's"
        ));
    }
    if !has_wildcard(last) {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |error: io::Error| format!("{text:?}: {error}");
    let folder = path.parent().unwrap_or(Path::new(""));
    let listed = match fs::read_dir(if folder == Path::new("") { Path::new(".") } else { folder }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(wrong)?,
    };
    let mut names: Vec<OsString> = Vec::new();
    for entry in listed {
        let name = entry.map_err(wrong)?.file_name();
        if matches(last, &name.to_string_lossy()) && folder.join(&name).is_file() {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            return Err(format!("{text:?} matches more than {FILES_MAX} files"));
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether a pattern matches a name: `*` any number of characters, `?` one. As in a shell, a name that begins with
/// a dot is matched by a pattern that does.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut next) = (0, 0);
    // The last `*`, and where what it matches ends for now.
    let mut star = None;
    while next < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(&char) if char == '?' || char == name[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((back, end)) = star else { return false };
                star = Some((back, end + 1));
                (at, next) = (back + 1, end + 1);
            }
        }
    }
    pattern[at..].iter().all(|&char| char == '*')
}

/// Reads a file of at most so many bytes.
fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let what = format!("larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        let rows = [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", false),
            ("*.yaml", ".a.yaml", false),
            (".*.yaml", ".a.yaml", true),
            ("*.yaml", "a.yaml.bak", false),
            ("*.yaml", "a.yml", false),
            ("*", "a", true),
            ("?.yaml", "é.yaml", true),
            ("?.yaml", "ab.yaml", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("a**", "a", true),
            ("[ab]*", "a", false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
