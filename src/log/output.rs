//! Writes blocks of lines to an open log target.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::target::{LogTarget, TargetKind, append_to, ends_inside_a_line};

/// An open target.
pub(super) struct LogOutput {
    pub(super) target: LogTarget,
    file: File,
    kind: TargetKind,
    /// Whether the last byte written is not a newline.
    torn: bool,
}

/// The result of writing a block.
pub(super) struct Written {
    /// The number of its lines that were written in full.
    pub(super) lines: u64,
    /// Why the others were not.
    pub(super) result: io::Result<()>,
}

/// What to do about a target that blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// Keep waiting.
    Wait,
    /// Reopen the path: this was asked for.
    Reopen,
}

/// How writing some bytes ended.
enum WriteEnd {
    Written,
    Failed(io::Error),
    /// The path now names something else: the bytes after this many belong there.
    Moved(usize),
}

/// How often [`LogOutput::write`] calls `stalled` while the target blocks.
const STALL_INTERVAL: Duration = Duration::from_secs(1);

impl LogOutput {
    pub(super) fn open(target: LogTarget) -> io::Result<Self> {
        let (file, torn) = match &target {
            LogTarget::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), false),
            LogTarget::File(path) => (append_to(path)?, ends_inside_a_line(path).unwrap_or(false)),
        };
        Ok(Self { target, kind: TargetKind::of(&file), file, torn })
    }

    /// Reopens the path; standard output has none. On failure the old file stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let LogTarget::File(path) = &self.target else { return Ok(()) };
        let has_moved = self.has_moved();
        let file = append_to(path)?;
        self.kind = TargetKind::of(&file);
        // A line left unfinished in a pipe still is, if this is the same pipe.
        self.torn = ends_inside_a_line(path).unwrap_or(self.torn && !has_moved);
        self.file = file;
        Ok(())
    }

    /// Writes a block of `lines` whole lines; after an error the rest of it is not retried.
    ///
    /// `underway` counts the lines written so far. While the target blocks, `stalled` is called once a
    /// second and decides whether the rest goes to what is at the path by then.
    pub(super) fn write(
        &mut self,
        block: &[u8],
        lines: u64,
        underway: &AtomicU64,
        mut stalled: impl FnMut() -> Stalled,
    ) -> Written {
        let (mut rest, mut torn, mut refused) = (block, 0, None);
        loop {
            match self.write_on(rest, underway, &mut stalled) {
                WriteEnd::Written => return Written { lines: lines - torn, result: Ok(()) },
                WriteEnd::Failed(error) => {
                    return Written { lines: underway.load(Relaxed), result: Err(error) };
                }
                WriteEnd::Moved(count) => {
                    rest = &rest[count..];
                    let is_within = count > 0 && self.torn;
                    match self.reopen() {
                        Ok(()) if is_within => {
                            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
                            rest = &rest[end..];
                            torn += 1;
                        }
                        Ok(()) => {}
                        Err(error) => {
                            // The old file continues where it stopped. The reopening is retried, so
                            // the same error is logged only once.
                            self.torn &= !is_within;
                            if refused.replace(error.kind()) != Some(error.kind()) {
                                self.log_reopen_failure(&error);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Logs that the path could not be reopened.
    pub(super) fn log_reopen_failure(&self, error: &io::Error) {
        let target = &self.target;
        log::error!("access log: cannot reopen {target}: {error}; the old file stays in use");
    }

    /// Writes the rest of a block, after ending a line that was left unfinished.
    fn write_on(
        &mut self,
        bytes: &[u8],
        underway: &AtomicU64,
        stalled: &mut impl FnMut() -> Stalled,
    ) -> WriteEnd {
        if self.torn {
            match self.write_all(b"\n", &mut 0, &AtomicU64::new(0), stalled) {
                WriteEnd::Written => self.torn = false,
                ended => return ended,
            }
        }
        let mut count = 0;
        let ended = self.write_all(bytes, &mut count, underway, stalled);
        self.torn = count > 0 && bytes[count - 1] != b'\n';
        ended
    }

    /// Writes all of `bytes`, however slow the target is; `count` is how many were written.
    fn write_all(
        &self,
        bytes: &[u8],
        count: &mut usize,
        underway: &AtomicU64,
        stalled: &mut impl FnMut() -> Stalled,
    ) -> WriteEnd {
        while *count < bytes.len() {
            let rest = &bytes[*count..];
            let piece = match self.kind {
                TargetKind::File => rest,
                TargetKind::Stream => &rest[..atomic(rest)],
            };
            if self.kind == TargetKind::Stream && !self.is_writable() {
                match stalled() {
                    Stalled::Reopen if self.has_moved() => return WriteEnd::Moved(*count),
                    Stalled::Reopen | Stalled::Wait => continue,
                }
            }
            match (&self.file).write(piece) {
                Ok(0) => return WriteEnd::Failed(ErrorKind::WriteZero.into()),
                Ok(more) => {
                    *count += more;
                    let lines = memchr::memchr_iter(b'\n', &piece[..more]).count() as u64;
                    underway.fetch_add(lines, Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another writer filled the pipe first, or another process set the shared standard
                // output to non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let _ = self.is_writable();
                }
                Err(error) => return WriteEnd::Failed(error),
            }
        }
        WriteEnd::Written
    }

    /// Whether the path now names something else, or nothing.
    fn has_moved(&self) -> bool {
        let LogTarget::File(path) = &self.target else { return false };
        let identity = |found: Metadata| (found.dev(), found.ino());
        let (at_path, open) = (std::fs::metadata(path), self.file.metadata());
        at_path.ok().map(identity) != open.ok().map(identity)
    }

    /// Waits until the target is writable, for up to [`STALL_INTERVAL`].
    fn is_writable(&self) -> bool {
        let limit = Timespec::try_from(STALL_INTERVAL).ok();
        // An error is reported better by the next write.
        poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], limit.as_ref()) != Ok(0)
    }
}

/// How many of `bytes` to give a pipe at once so that no other writer's bytes come in between: at most
/// `PIPE_BUF` (pipe(7)), and whole lines if they are short enough.
fn atomic(bytes: &[u8]) -> usize {
    if bytes.len() <= libc::PIPE_BUF {
        return bytes.len();
    }
    memchr::memrchr(b'\n', &bytes[..libc::PIPE_BUF]).map_or(libc::PIPE_BUF, |end| end + 1)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::AtomicU32;
    use std::thread;

    use super::*;

    /// A temporary directory, removed when dropped.
    pub(in super::super) struct TempDir(PathBuf);

    impl TempDir {
        pub(in super::super) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Relaxed);
            let name = format!("evener-log-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(in super::super) fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn none() -> AtomicU64 {
        AtomicU64::new(0)
    }

    fn wait() -> Stalled {
        Stalled::Wait
    }

    fn fifo(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    /// Opens a FIFO for reading, without blocking.
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

    impl LogOutput {
        pub(in super::super) fn to_pipe(pipe: io::PipeWriter) -> Self {
            let file = File::from(OwnedFd::from(pipe));
            Self { target: LogTarget::Stdout, kind: TargetKind::of(&file), file, torn: false }
        }
    }

    #[test]
    fn a_file_is_appended_to_and_not_readable_by_others() {
        let dir = TempDir::new();
        let path = dir.file("log");
        for block in [b"a\n".as_slice(), b"b\nc\n"] {
            let mut output = LogOutput::open(LogTarget::File(path.clone())).unwrap();
            output.write(block, 1, &none(), wait).result.unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\nc\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o027, 0);
    }

    #[test]
    fn a_line_that_was_left_unfinished_is_ended_first() {
        let dir = TempDir::new();
        let path = dir.file("log");
        fs::write(&path, b"a\nhal").unwrap();
        let mut output = LogOutput::open(LogTarget::File(path.clone())).unwrap();
        output.write(b"b\n", 1, &none(), wait).result.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nhal\nb\n");
    }

    #[test]
    fn a_failed_block_counts_its_whole_lines_and_the_next_starts_a_new_line() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = LogOutput::to_pipe(writer);
        // Longer than a pipe holds, so that the write is still in progress when the reader closes.
        let block = [b"first\n".as_slice(), &[b'x'; 1 << 20], b"\nlast\n"].concat();
        let writing = thread::spawn(move || (output.write(&block, 3, &none(), wait), output));
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        let (written, mut output) = writing.join().unwrap();
        assert_eq!(written.lines, 1);
        assert_eq!(written.result.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (mut reader, writer) = io::pipe().unwrap();
        output.file = File::from(OwnedFd::from(writer));
        output.write(b"next\n", 1, &none(), wait).result.unwrap();
        output.write(b"more\n", 1, &none(), wait).result.unwrap();
        drop(output);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "\nnext\nmore\n");
    }

    #[test]
    fn a_non_blocking_target_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let mut output = LogOutput::to_pipe(writer);
        let writing =
            thread::spawn(move || output.write(&[b'\n'; 1 << 20], 1 << 20, &none(), wait));
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 1 << 20);
        assert_eq!(writing.join().unwrap().lines, 1 << 20);
    }

    #[test]
    fn lines_a_stalled_reader_has_not_taken_go_to_the_reopened_path() {
        let dir = TempDir::new();
        let path = dir.file("log");
        fifo(&path);
        let stopped = reader(&path);
        let mut output = LogOutput::open(LogTarget::File(path.clone())).unwrap();
        let (mut calls, mut taken, underway) = (0, 0, none());
        let written = output.write(&b"a\n".repeat(1 << 16), 1 << 16, &underway, || {
            (calls, taken) = (calls + 1, underway.load(Relaxed));
            if calls == 2 {
                fs::remove_file(&path).unwrap();
            }
            Stalled::Reopen
        });
        written.result.unwrap();
        assert_eq!((written.lines, calls), (1 << 16, 2));
        let (before, after) = (all_of(stopped), fs::read_to_string(&path).unwrap());
        assert_eq!(before.lines().count() as u64, taken);
        assert_eq!(before.lines().count() + after.lines().count(), 1 << 16);
    }

    #[test]
    fn a_line_cut_by_the_reopening_is_not_counted() {
        let dir = TempDir::new();
        let path = dir.file("log");
        fifo(&path);
        let stopped = reader(&path);
        let mut output = LogOutput::open(LogTarget::File(path.clone())).unwrap();
        let block = [&[b'x'; 1 << 17], b"\nlast\n".as_slice()].concat();
        let written = output.write(&block, 2, &none(), || {
            let _ = fs::remove_file(&path);
            Stalled::Reopen
        });
        assert_eq!(written.lines, 1);
        assert_eq!(fs::read(&path).unwrap(), b"last\n");
        drop(stopped);
    }

    #[test]
    fn a_failed_reopen_loses_no_line() {
        let dir = TempDir::new();
        let (path, moved) = (dir.file("log"), dir.file("moved"));
        fifo(&path);
        let mut stopped = reader(&path);
        let mut output = LogOutput::open(LogTarget::File(path.clone())).unwrap();
        let block = [&[b'x'; 1 << 17], b"\nlast\n".as_slice()].concat();
        let (mut calls, mut text) = (0, Vec::new());
        let written = output.write(&block, 2, &none(), || {
            calls += 1;
            if calls == 1 {
                fs::rename(&path, &moved).unwrap();
                // This one has no reader, so it cannot be opened.
                fifo(&path);
            } else {
                let mut taken = vec![0; 1 << 16];
                let count = stopped.read(&mut taken).unwrap();
                text.extend_from_slice(&taken[..count]);
            }
            Stalled::Reopen
        });
        let rest = all_of(stopped);
        text.extend_from_slice(rest.as_bytes());
        assert_eq!((written.lines, written.result.is_ok(), text == block), (2, true, true));
    }

    #[test]
    fn a_new_pipe_does_not_begin_with_a_newline() {
        let dir = TempDir::new();
        let (path, moved) = (dir.file("log"), dir.file("moved"));
        fifo(&path);
        let _before = reader(&path);
        let mut output = LogOutput::open(LogTarget::File(path.clone())).unwrap();
        fs::rename(&path, &moved).unwrap();
        fifo(&path);
        let after = reader(&path);
        output.torn = true;
        output.reopen().unwrap();
        output.write(b"next\n", 1, &none(), wait).result.unwrap();
        assert_eq!(all_of(after), "next\n");
    }

    #[test]
    fn a_reopened_pipe_has_its_unfinished_line_ended_first() {
        let dir = TempDir::new();
        let path = dir.file("log");
        fifo(&path);
        let reading = reader(&path);
        let mut output = LogOutput::open(LogTarget::File(path)).unwrap();
        output.torn = true;
        output.reopen().unwrap();
        output.write(b"next\n", 1, &none(), wait).result.unwrap();
        assert_eq!(all_of(reading), "\nnext\n");
    }

    #[test]
    fn a_pipe_gets_whole_lines_that_fit_into_pipe_buf() {
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
    fn a_full_disk_is_an_error_and_leaves_no_partial_line() {
        let dir = TempDir::new();
        let mut output = LogOutput::open(LogTarget::File("/dev/full".into())).unwrap();
        let written = output.write(b"a\n", 1, &none(), wait);
        assert_eq!(written.result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!((written.lines, output.torn), (0, false));
        let missing = dir.file("missing/log");
        assert!(LogOutput::open(LogTarget::File(missing)).is_err());
    }
}
