//! Where lines go: standard output or a file, and what has become of the last of them.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
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

/// What is to be done about a target that takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// It may take something yet.
    Wait,
    /// Somebody has asked for its path to be opened anew.
    Move,
}

/// How the writing of some bytes ended.
enum Ended {
    Written,
    /// Behind so many of them.
    Failed(usize, io::Error),
    /// Behind so many of them; the others are for what is at the path now.
    Moved(usize),
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

    /// Opens the path anew; standard output has none. If that fails the old file stays in use, which
    /// is logged.
    pub(super) fn reopen(&mut self) {
        let Target::File(path) = &self.target else { return };
        match append_to(path) {
            Ok(file) => {
                self.kind = Kind::of(&file);
                // A pipe may be the same one: what was left in it unfinished still is.
                self.torn = ends_inside_a_line(path).unwrap_or(self.torn);
                self.file = file;
            }
            Err(error) => {
                let target = &self.target;
                log::error!(
                    "access log: cannot open {target} anew: {error}; the old file stays in use"
                );
            }
        }
    }

    /// Writes a block of so many whole lines. What is left of it after an error is not tried again.
    /// While nothing is taken `stalled` is told once a second how many lines have been, and says
    /// whether the rest goes to what is at the path by now.
    pub(super) fn write(
        &mut self,
        block: &[u8],
        lines: u64,
        mut stalled: impl FnMut(u64) -> Stalled,
    ) -> Written {
        let (mut rest, mut torn) = (block, 0);
        loop {
            let before = block.len() - rest.len();
            let counted = |count: usize| {
                memchr::memchr_iter(b'\n', &block[..before + count]).count() as u64 - torn
            };
            let ended = self.write_on(rest, |count| stalled(counted(count)));
            match ended {
                // If all of them are, they need not be counted.
                Ended::Written => return Written { lines: lines - torn, result: Ok(()) },
                Ended::Failed(count, error) => {
                    return Written { lines: counted(count), result: Err(error) };
                }
                Ended::Moved(count) => {
                    let begun = count > 0 && rest[count - 1] != b'\n';
                    let end = memchr::memchr(b'\n', &rest[count..]).filter(|_| begun);
                    rest = &rest[end.map_or(count, |end| count + end + 1)..];
                    torn += u64::from(begun);
                    self.reopen();
                }
            }
        }
    }

    /// Goes on with a block, behind the end of a line that was left unfinished.
    fn write_on(&mut self, bytes: &[u8], mut stalled: impl FnMut(usize) -> Stalled) -> Ended {
        if self.torn {
            match self.write_all(b"\n", |_| stalled(0)) {
                Ended::Written => self.torn = false,
                Ended::Failed(_, error) => return Ended::Failed(0, error),
                Ended::Moved(_) => return Ended::Moved(0),
            }
        }
        let ended = self.write_all(bytes, stalled);
        let count = match ended {
            Ended::Written => bytes.len(),
            Ended::Failed(count, _) | Ended::Moved(count) => count,
        };
        self.torn = count > 0 && bytes[count - 1] != b'\n';
        ended
    }

    /// Writes all of `bytes`, however slowly they are taken.
    fn write_all(&self, bytes: &[u8], mut stalled: impl FnMut(usize) -> Stalled) -> Ended {
        let mut count = 0;
        while count < bytes.len() {
            let rest = &bytes[count..];
            let piece = match self.kind {
                Kind::File => rest.len(),
                Kind::Stream => atomic(rest),
            };
            if self.kind == Kind::Stream && !self.is_writable() {
                match stalled(count) {
                    Stalled::Move if self.has_moved() => return Ended::Moved(count),
                    Stalled::Move | Stalled::Wait => continue,
                }
            }
            match (&self.file).write(&rest[..piece]) {
                Ok(0) => return Ended::Failed(count, ErrorKind::WriteZero.into()),
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody else was faster; standard output may be set so by anybody who shares it.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Ended::Failed(count, error),
            }
        }
        Ended::Written
    }

    /// Whether something else is at the path by now, or nothing.
    fn has_moved(&self) -> bool {
        let Target::File(path) = &self.target else { return false };
        let identity = |found: Metadata| (found.dev(), found.ino());
        let (there, here) = (std::fs::metadata(path), self.file.metadata());
        there.ok().map(identity) != here.ok().map(identity)
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
/// `None`: it cannot be told.
fn ends_inside_a_line(path: &Path) -> Option<bool> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_file() {
        return None;
    }
    if found.len() == 0 {
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

    fn wait(_: u64) -> Stalled {
        Stalled::Wait
    }

    fn fifo(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    /// Keeps a FIFO open, and reads what is in it at the end.
    fn reader(path: &Path) -> File {
        let flags = libc::O_NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap()
    }

    fn all_of(mut reader: File) -> String {
        let mut text = Vec::new();
        let mut block = [0; 1 << 16];
        while let Ok(count @ 1..) = reader.read(&mut block) {
            text.extend_from_slice(&block[..count]);
        }
        String::from_utf8(text).unwrap()
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
    fn what_a_reader_that_stops_has_not_taken_goes_to_what_is_at_the_path_now() {
        let folder = Folder::new();
        let path = folder.file("log");
        fifo(&path);
        let stopped = reader(&path);
        let mut output = Output::open(Target::File(path.clone())).unwrap();
        let (mut asked, mut taken) = (0, 0);
        let written = output.write(&b"a\n".repeat(1 << 16), 1 << 16, |lines| {
            (asked, taken) = (asked + 1, lines);
            if asked == 2 {
                fs::remove_file(&path).unwrap();
            }
            Stalled::Move
        });
        written.result.unwrap();
        assert_eq!((written.lines, asked), (1 << 16, 2));
        let (before, after) = (all_of(stopped), fs::read_to_string(&path).unwrap());
        assert_eq!(before.lines().count() as u64, taken);
        assert_eq!(before.lines().count() + after.lines().count(), 1 << 16);
    }

    #[test]
    fn a_line_that_is_half_in_what_was_left_is_in_neither() {
        let folder = Folder::new();
        let path = folder.file("log");
        fifo(&path);
        let stopped = reader(&path);
        let mut output = Output::open(Target::File(path.clone())).unwrap();
        let block = [&[b'x'; 1 << 17], b"\nlast\n".as_slice()].concat();
        let written = output.write(&block, 2, |_| {
            let _ = fs::remove_file(&path);
            Stalled::Move
        });
        assert_eq!(written.lines, 1);
        assert_eq!(fs::read(&path).unwrap(), b"last\n");
        drop(stopped);
    }

    #[test]
    fn a_pipe_that_is_opened_anew_has_its_line_ended_first() {
        let folder = Folder::new();
        let path = folder.file("log");
        fifo(&path);
        let reading = reader(&path);
        let mut output = Output::open(Target::File(path)).unwrap();
        output.torn = true;
        output.reopen();
        output.write(b"next\n", 1, wait).result.unwrap();
        assert_eq!(all_of(reading), "\nnext\n");
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
