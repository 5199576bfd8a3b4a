//! Names of files and users that flags have.

use super::mistake::Mistakes;
use super::sources::Sources;

/// What is wrong before anything is checked: what was found while files were read, and empty names.
pub(super) fn mistakes(sources: &Sources) -> Mistakes {
    let mut mistakes = Mistakes::default();
    sources.files().for_each(|file| mistakes.extend(file.mistakes()));
    refuse_empty(sources, &mut mistakes);
    mistakes
}

/// Notes the names that are empty: they name nothing, and nothing is checked about them here.
fn refuse_empty(sources: &Sources, mistakes: &mut Mistakes) {
    let flags = &sources.flags;
    let named = [
        ("access-log", &flags.access_log, "file"),
        ("error-log", &flags.error_log, "file"),
        ("pid-file", &flags.pid_file, "file"),
        ("admin-token-file", &flags.admin_token_file, "file"),
        ("upstream-ca", &flags.upstream_ca, "file"),
        ("upstream-cert", &flags.upstream_cert, "file"),
        ("upstream-key", &flags.upstream_key, "file"),
        ("user", &flags.user, "user"),
        ("group", &flags.group, "group"),
    ];
    for (flag, name, what) in named {
        if name.as_deref() == Some("") {
            mistakes.add(&sources.place(flag), format!("\"\" does not name a {what}"));
        }
    }
}
