//! Where lines go: standard output or a file, and what has become of the last of them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};

/// The mode of a file that is created: readable by its group, closed to others (addresses of people
/// are in it).
const MODE: u32 = 0o640;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and created where there is none.
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// An open target.
pub(super) struct Output {
    pub(super) target: Target,
    file: File,
    /// The last byte in it is not the end of a line.
    torn: bool,
}

/// What has become of a block.
pub(super) struct Written {
    /// How many of its lines are in the target whole.
    pub(super) lines: u64,
    /// Why not all of them are.
    pub(super) result: io::Result<()>,
}

impl Output {
    pub(super) fn open(target: Target) -> io::Result<Self> {
        let (file, torn) = match &target {
            Target::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), false),
            Target::File(path) => (append_to(path)?, ends_inside_a_line(path).unwrap_or(false)),
        };
        Ok(Self { target, file, torn })
    }

    /// Opens the path anew; standard output has none. If that fails the old file stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Target::File(path) = &self.target {
            self.file = append_to(path)?;
            self.torn = ends_inside_a_line(path).unwrap_or(self.torn);
        }
        Ok(())
    }

    /// Writes a block of whole lines. What is left of it after an error is not tried again.
    pub(super) fn write(&mut self, block: &[u8]) -> Written {
        if self.torn {
            if let (_, Err(error)) = write_all(&self.file, b"\n") {
                return Written { lines: 0, result: Err(error) };
            }
            self.torn = false;
        }
        let (count, result) = write_all(&self.file, block);
        let written = &block[..count];
        self.torn = written.last().is_some_and(|byte| *byte != b'\n');
        Written { lines: memchr::memchr_iter(b'\n', written).count() as u64, result }
    }
}

/// Not blocking: opening a FIFO that nobody reads fails instead of waiting for a reader.
fn append_to(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)
}

/// Whether a line of a regular file was left unfinished, by an earlier process or a full disk.
/// `None`: it cannot be read.
fn ends_inside_a_line(path: &Path) -> Option<bool> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_file() || found.len() == 0 {
        return Some(false);
    }
    let (mut file, mut last) = (File::open(path).ok()?, [0]);
    file.seek(SeekFrom::End(-1)).ok()?;
    file.read_exact(&mut last).ok()?;
    Some(last != *b"\n")
}

/// Writes all of `bytes`, however slowly they are taken, and says how many were when it failed.
fn write_all(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut count = 0;
    while count < bytes.len() {
        match file.write(&bytes[count..]) {
            Ok(0) => return (count, Err(ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Standard output may be set so by anybody who shares it.
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_until_writable(file),
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

fn wait_until_writable(file: &File) {
    // Whatever this fails with, the next write tells better.
    let _ = poll(&mut [PollFd::new(file, PollFlags::OUT)], None);
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    /// A directory of its own for each test, gone with it.
    pub(in super::super) struct Folder(PathBuf);

    impl Folder {
        pub(in super::super) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("evener-log-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(in super::super) fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    impl Output {
        pub(in super::super) fn to_pipe(pipe: io::PipeWriter) -> Self {
            let file = File::from(OwnedFd::from(pipe));
            Self { target: Target::Stdout, file, torn: false }
        }
    }

    #[test]
    fn a_file_is_appended_to_and_closed_to_others() {
        let folder = Folder::new();
        let path = folder.file("log");
        for block in [b"a\n".as_slice(), b"b\nc\n"] {
            let mut output = Output::open(Target::File(path.clone())).unwrap();
            let written = output.write(block);
            written.result.unwrap();
            assert_eq!(written.lines, block.len() as u64 / 2);
        }
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\nc\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o027, 0);
    }

    #[test]
    fn a_line_that_was_left_unfinished_is_ended_first() {
        let folder = Folder::new();
        let path = folder.file("log");
        fs::write(&path, b"a\nhal").unwrap();
        let mut output = Output::open(Target::File(path.clone())).unwrap();
        output.write(b"b\n").result.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nhal\nb\n");
    }

    #[test]
    fn a_block_that_breaks_off_counts_its_whole_lines_and_tears_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = Output::to_pipe(writer);
        // Longer than a pipe holds, so that writing it is under way when the reader goes.
        let block = [b"first\n".as_slice(), &[b'x'; 1 << 20], b"\nlast\n"].concat();
        let writing = thread::spawn(move || (output.write(&block), output));
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        let (written, mut output) = writing.join().unwrap();
        assert_eq!(written.lines, 1);
        assert_eq!(written.result.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (mut reader, writer) = io::pipe().unwrap();
        output.file = File::from(OwnedFd::from(writer));
        output.write(b"next\n").result.unwrap();
        output.write(b"more\n").result.unwrap();
        drop(output);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "\nnext\nmore\n");
    }

    #[test]
    fn what_does_not_block_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let mut output = Output::to_pipe(writer);
        let writing = thread::spawn(move || output.write(&[b'\n'; 1 << 20]));
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 1 << 20);
        assert_eq!(writing.join().unwrap().lines, 1 << 20);
    }

    #[test]
    fn a_full_disk_is_an_error_and_tears_nothing() {
        let folder = Folder::new();
        let mut output = Output::open(Target::File("/dev/full".into())).unwrap();
        let written = output.write(b"a\n");
        assert_eq!(written.result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!((written.lines, output.torn), (0, false));
        let missing = folder.file("missing/log");
        assert!(Output::open(Target::File(missing)).is_err());
    }
}
