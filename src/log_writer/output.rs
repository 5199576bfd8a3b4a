//! Where lines go: standard output or a file, and what has become of the last of them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
    kind: Kind,
    /// The last byte in it is not the end of a line.
    torn: bool,
}

/// What lines are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file or a device, which takes whatever it is given or fails.
    File,
    /// A pipe, a socket or a terminal: somebody at its other end may stop reading, and somebody else
    /// may write to it too.
    Stream,
}

/// What has become of a block.
pub(super) struct Written {
    /// How many of its lines are in the target whole.
    pub(super) lines: u64,
    /// Why not all of them are.
    pub(super) result: io::Result<()>,
}

/// How long a target may take nothing before that is [looked at](Output::write).
const STALL_INTERVAL: Duration = Duration::from_secs(1);

impl Output {
    pub(super) fn open(target: Target) -> io::Result<Self> {
        let (file, torn) = match &target {
            Target::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), false),
            Target::File(path) => (append_to(path)?, ends_inside_a_line(path).unwrap_or(false)),
        };
        Ok(Self { target, kind: Kind::of(&file), file, torn })
    }

    /// Opens the path anew; standard output has none. If that fails the old file stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Target::File(path) = &self.target {
            self.file = append_to(path)?;
            self.kind = Kind::of(&self.file);
            self.torn = ends_inside_a_line(path).unwrap_or(self.torn);
        }
        Ok(())
    }

    /// Writes a block of so many whole lines. What is left of it after an error is not tried again.
    /// While nothing is taken `stalled` is asked about once a second whether to go on.
    pub(super) fn write(
        &mut self,
        block: &[u8],
        lines: u64,
        mut stalled: impl FnMut() -> ControlFlow<()>,
    ) -> Written {
        if self.torn {
            if let (_, Err(error)) = self.write_all(b"\n", &mut stalled) {
                return Written { lines: 0, result: Err(error) };
            }
            self.torn = false;
        }
        let (count, result) = self.write_all(block, &mut stalled);
        let written = &block[..count];
        self.torn = written.last().is_some_and(|byte| *byte != b'\n');
        // If all of them are, they need not be counted.
        let counted = || memchr::memchr_iter(b'\n', written).count() as u64;
        Written { lines: if result.is_ok() { lines } else { counted() }, result }
    }

    /// Writes all of `bytes`, however slowly they are taken, and says how many were when it ended.
    fn write_all(
        &self,
        bytes: &[u8],
        stalled: &mut impl FnMut() -> ControlFlow<()>,
    ) -> (usize, io::Result<()>) {
        let mut count = 0;
        while count < bytes.len() {
            let rest = &bytes[count..];
            let piece = match self.kind {
                Kind::File => rest.len(),
                Kind::Stream => atomic(rest),
            };
            if self.kind == Kind::Stream && !self.is_writable() {
                match stalled() {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(()) => return (count, Err(ErrorKind::TimedOut.into())),
                }
            }
            match (&self.file).write(&rest[..piece]) {
                Ok(0) => return (count, Err(ErrorKind::WriteZero.into())),
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody else was faster; standard output may be set so by anybody who shares it.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return (count, Err(error)),
            }
        }
        (count, Ok(()))
    }

    /// Waits until it takes something; not for ever.
    fn is_writable(&self) -> bool {
        let limit = Timespec::try_from(STALL_INTERVAL).ok();
        // An error is told better by the next write.
        poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], limit.as_ref()) != Ok(0)
    }
}

impl Kind {
    fn of(file: &File) -> Self {
        let kind = file.metadata().map(|found| found.file_type());
        let is_stream = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket());
        if is_stream || file.is_terminal() { Self::Stream } else { Self::File }
    }
}

/// How many of `bytes` a pipe takes at once, so that no other writer's come between: whole lines, as
/// far as they are no longer than that (pipe(7), `PIPE_BUF`).
fn atomic(bytes: &[u8]) -> usize {
    if bytes.len() <= libc::PIPE_BUF {
        return bytes.len();
    }
    memchr::memrchr(b'\n', &bytes[..libc::PIPE_BUF]).map_or(libc::PIPE_BUF, |end| end + 1)
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

    fn wait() -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    impl Output {
        pub(in super::super) fn to_pipe(pipe: io::PipeWriter) -> Self {
            let file = File::from(OwnedFd::from(pipe));
            Self { target: Target::Stdout, kind: Kind::of(&file), file, torn: false }
        }
    }

    #[test]
    fn a_file_is_appended_to_and_closed_to_others() {
        let folder = Folder::new();
        let path = folder.file("log");
        for block in [b"a\n".as_slice(), b"b\nc\n"] {
            let mut output = Output::open(Target::File(path.clone())).unwrap();
            output.write(block, 1, wait).result.unwrap();
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
        output.write(b"b\n", 1, wait).result.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nhal\nb\n");
    }

    #[test]
    fn a_block_that_breaks_off_counts_its_whole_lines_and_tears_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = Output::to_pipe(writer);
        // Longer than a pipe holds, so that writing it is under way when the reader goes.
        let block = [b"first\n".as_slice(), &[b'x'; 1 << 20], b"\nlast\n"].concat();
        let writing = thread::spawn(move || (output.write(&block, 3, wait), output));
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        let (written, mut output) = writing.join().unwrap();
        assert_eq!(written.lines, 1);
        assert_eq!(written.result.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (mut reader, writer) = io::pipe().unwrap();
        output.file = File::from(OwnedFd::from(writer));
        output.write(b"next\n", 1, wait).result.unwrap();
        output.write(b"more\n", 1, wait).result.unwrap();
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
        let writing = thread::spawn(move || output.write(&[b'\n'; 1 << 20], 1 << 20, wait));
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 1 << 20);
        assert_eq!(writing.join().unwrap().lines, 1 << 20);
    }

    #[test]
    fn a_reader_that_stops_is_given_up_when_told_so() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = Output::to_pipe(writer);
        let mut asked = 0;
        let block = b"a\n".repeat(1 << 20);
        let written = output.write(&block, 1 << 20, || {
            asked += 1;
            if asked == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(written.result.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(output);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.lines().count() as u64, asked), (written.lines, 2));
    }

    #[test]
    fn a_pipe_is_given_whole_lines_at_once_as_far_as_they_fit() {
        let line = |length: usize| [vec![b'x'; length - 1], b"\n".to_vec()].concat();
        let rows = [
            (vec![line(10)], 10),
            (vec![line(4096)], 4096),
            (vec![line(4000), line(97)], 4000),
            (vec![line(2000), line(2000), line(2000)], 4000),
            (vec![line(5000)], 4096),
        ];
        for (lines, expected) in rows {
            assert_eq!(atomic(&lines.concat()), expected);
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_tears_nothing() {
        let folder = Folder::new();
        let mut output = Output::open(Target::File("/dev/full".into())).unwrap();
        let written = output.write(b"a\n", 1, wait);
        assert_eq!(written.result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!((written.lines, output.torn), (0, false));
        let missing = folder.file("missing/log");
        assert!(Output::open(Target::File(missing)).is_err());
    }
}
