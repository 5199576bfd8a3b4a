//! Endpoints listed in a file: it is read again when it has changed and then rested.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::outcome::LookupOutcome;
use crate::config::source::lines;
use crate::net::tls::watched_file::FileStamp;
use crate::upstream::source::SourceAnswer;

/// The largest file: 1024 endpoints with comments.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a file was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileState {
    /// At the last look; None if it was not there.
    seen: Option<FileStamp>,
    /// When it was read.
    read: Option<FileStamp>,
    /// Whether it was.
    is_read: bool,
}

/// Looks at a file, and reads it if it is another one than was read last and the same as at the last look: one that is
/// being written is left alone until it is whole. The first time it is read at once.
pub(super) fn look(path: &Path, state: FileState) -> (LookupOutcome, FileState) {
    let stamp = fs::metadata(path).ok().map(|metadata| FileStamp::of(&metadata));
    let has_settled = !state.is_read || stamp == state.seen;
    let state = FileState { seen: stamp, ..state };
    if state.is_read && state.read == stamp || !has_settled {
        return (LookupOutcome::Unchanged, state);
    }
    let outcome = match read(path) {
        Ok(text) => match lines(&text) {
            Ok(entries) => LookupOutcome::Found(SourceAnswer::Lines(entries), None),
            Err((line, what)) => LookupOutcome::Failed(format!("line {line}: {what}")),
        },
        Err(error) => LookupOutcome::Failed(format!("cannot be read: {error}")),
    };
    (outcome, FileState { read: stamp, is_read: true, ..state })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let what = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Lists(PathBuf);

    impl Lists {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("evener-{}-{name}", std::process::id())))
        }

        fn write(&self, text: &str) {
            fs::write(&self.0, text).unwrap();
        }

        fn look(&self, state: &mut FileState) -> LookupOutcome {
            let (outcome, next) = look(&self.0, *state);
            *state = next;
            outcome
        }
    }

    impl Drop for Lists {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_file_is_read_once_for_each_change_after_it_has_rested() {
        let (list, mut state) = (Lists::new("rests"), FileState::default());
        list.write("127.0.0.1:1\n");
        assert!(matches!(list.look(&mut state), LookupOutcome::Found(..)));
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
        list.write("127.0.0.1:1\n127.0.0.1:22\n");
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
        list.write("127.0.0.1:1\n127.0.0.1:22\n127.0.0.1:333\n");
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
        let LookupOutcome::Found(SourceAnswer::Lines(found), None) = list.look(&mut state) else {
            panic!()
        };
        assert_eq!(found.len(), 3);
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
    }

    #[test]
    fn a_file_that_is_missing_or_bad_is_told_once_for_each_change() {
        let (list, mut state) = (Lists::new("bad"), FileState::default());
        let told = |outcome: LookupOutcome| match outcome {
            LookupOutcome::Failed(reason) => reason,
            _ => panic!("{outcome:?}"),
        };
        assert!(told(list.look(&mut state)).contains("No such file"));
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
        list.write("127.0.0.1:1\nx\n");
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
        assert!(told(list.look(&mut state)).starts_with("line 2: \"x\" has no port"));
        assert!(matches!(list.look(&mut state), LookupOutcome::Unchanged));
    }
}
