//! Writes the access log on one thread, for all workers.
//!
//! Workers never wait for it: when the queue is full, lines are dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::access_log::Formatter;

use super::output::LogOutput;
use super::queue::{LineSink, QUEUE_SLOTS, Shared, WriterCommand};
use super::target::LogTarget;
use super::writer::Writer;

/// Numbers of lines since the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Lines written in full.
    pub written: u64,
    /// Lines dropped because the queue was full or writing failed.
    pub dropped: u64,
}

/// A handle to the writer thread. Without [`LogWriter::close`] the thread runs until the last [`LineSink`]
/// is dropped and all lines are written; a process that exits does not wait for it.
pub struct LogWriter {
    commands: SyncSender<WriterCommand>,
    shared: Arc<Shared>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

impl LogWriter {
    /// Opens the target and starts the thread. A file is created with mode 0640; a FIFO without a
    /// reader is an error (`ENXIO`).
    pub fn open(target: LogTarget) -> io::Result<Self> {
        Self::start(LogOutput::open(target)?)
    }

    fn start(output: LogOutput) -> io::Result<Self> {
        let (commands, queue) = sync_channel(QUEUE_SLOTS);
        let (ending, ended) = sync_channel::<()>(1);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(Formatter::new(), output, Arc::clone(&shared));
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run(&queue);
            drop(queue);
            drop(ending);
        })?;
        Ok(Self { commands, shared, ended })
    }

    /// A sink for one worker.
    pub fn sink(&self) -> LineSink {
        LineSink::new(self.commands.clone(), Arc::clone(&self.shared))
    }

    /// Asks for the path to be reopened, for log rotation. Returns at once.
    ///
    /// Lines that wait now go to the old file, unless it is a pipe that blocks. If the path cannot be
    /// opened, the old file stays in use and an error is logged.
    pub fn reopen(&self) {
        if !self.shared.reopening.swap(true, AcqRel) {
            // A slot is reserved for it, so this fails only once the thread has ended.
            let _ = self.commands.try_send(WriterCommand::Reopen);
        }
    }

    /// The number of lines dropped because the queue was full or writing failed.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// The number of lines written in full.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Relaxed)
    }

    /// Ends the thread once all waiting lines are written, or drops the rest after `limit`. The counts
    /// are exact if all sinks were dropped before.
    pub fn close(self, limit: Duration) -> Counts {
        let _ = self.commands.try_send(WriterCommand::Close);
        // Nothing is ever sent: this returns when the thread ends or the limit has passed.
        let _ = self.ended.recv_timeout(limit);
        self.shared.abandon();
        Counts { written: self.written(), dropped: self.dropped() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::access_log::{NOTHING, Texts};
    use crate::log::output::tests::TempDir;
    use crate::log::queue::QUEUE_BYTES_MAX;

    /// Longer than any of these tests take.
    const LIMIT: Duration = Duration::from_secs(60);

    fn wait_until(condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < LIMIT, "timed out");
            thread::yield_now();
        }
    }

    /// Logs a request for this target.
    fn log(sink: &LineSink, target: &str) {
        let mut texts = Texts::default();
        texts.keep([b"GET", target.as_bytes(), b"", b"", b"", b"", b""]);
        sink.push(&NOTHING, &texts, &Arc::default());
    }

    /// The targets in a text of whole lines.
    fn targets(text: &str) -> Vec<&str> {
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let target = |line: &str| line.starts_with("unix:") && line.ends_with(" picked=-");
        assert!(text.lines().all(target), "{text}");
        text.lines().filter_map(|line| line.split(' ').nth(6)).collect()
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    fn open(path: &Path) -> LogWriter {
        LogWriter::open(LogTarget::File(path.to_owned())).unwrap()
    }

    fn piped() -> (io::PipeReader, LogWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, LogWriter::start(LogOutput::to_pipe(writer)).unwrap())
    }

    /// Logs until the pipe, the queue and the batch are full and lines are dropped; returns how many
    /// lines were logged.
    fn overfill(writer: &LogWriter, sink: &LineSink) -> u64 {
        let mut lines = 0;
        while writer.dropped() == 0 {
            log(sink, &format!("/{lines:099}"));
            lines += 1;
            assert!(lines < 1_000_000, "nothing is ever dropped");
        }
        lines
    }

    #[test]
    fn lines_of_all_workers_arrive_whole_and_in_the_order_of_each() {
        let dir = TempDir::new();
        let path = dir.file("log");
        let writer = open(&path);
        let workers = [0, 1].map(|worker| {
            let sink = writer.sink();
            thread::spawn(move || (0..2_000).for_each(|at| log(&sink, &format!("/{worker}/{at}"))))
        });
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(writer.close(LIMIT), Counts { written: 4_000, dropped: 0 });
        let text = read(&path);
        for worker in ["/0/", "/1/"] {
            let lines = targets(&text).into_iter().filter_map(|target| target.strip_prefix(worker));
            assert!(lines.eq((0..2_000).map(|at| at.to_string())));
        }
    }

    #[test]
    fn a_flush_does_not_wait_for_a_full_block() {
        let (reader, writer) = piped();
        let sink = writer.sink();
        assert!(sink.is_empty());
        log(&sink, "a");
        assert!(!sink.is_empty());
        sink.flush();
        assert!(sink.is_empty());
        let mut line = String::new();
        BufReader::new(&reader).read_line(&mut line).unwrap();
        assert_eq!(targets(&line), ["a"]);
    }

    #[test]
    fn a_stalled_reader_loses_lines_but_blocks_nothing() {
        let (reader, writer) = piped();
        let sink = writer.sink();
        let lines = overfill(&writer, &sink);
        assert!(writer.shared.waiting_bytes.load(Relaxed) <= QUEUE_BYTES_MAX);
        let reading = thread::spawn(move || {
            let text = io::read_to_string(reader).unwrap();
            let targets = targets(&text);
            assert!(targets.iter().all(|target| target.len() == 100));
            targets.len() as u64
        });
        drop(sink);
        let counts = writer.close(LIMIT);
        assert_eq!(counts.written + counts.dropped, lines);
        assert_eq!(reading.join().unwrap(), counts.written);
    }

    #[test]
    fn a_stalled_reader_does_not_delay_closing() {
        let (_reader, writer) = piped();
        let sink = writer.sink();
        let lines = overfill(&writer, &sink);
        drop(sink);
        let counts = writer.close(Duration::ZERO);
        assert_eq!(counts.written + counts.dropped, lines);
    }

    #[test]
    fn a_flush_keeps_lines_while_the_queue_is_busy() {
        let (_reader, writer) = piped();
        let sink = writer.sink();
        overfill(&writer, &sink);
        let dropped = writer.dropped();
        log(&sink, "a");
        sink.flush();
        assert!(!sink.is_empty());
        assert_eq!(writer.dropped(), dropped);
    }

    #[test]
    fn a_closed_reader_loses_lines_but_not_the_process() {
        let (reader, writer) = piped();
        drop(reader);
        let sink = writer.sink();
        log(&sink, "a");
        sink.flush();
        wait_until(|| writer.dropped() == 1);
        log(&sink, "b");
        drop(sink);
        assert_eq!(writer.close(LIMIT), Counts { written: 0, dropped: 2 });
    }

    #[test]
    fn a_moved_file_is_reopened_after_the_waiting_lines() {
        let dir = TempDir::new();
        let (path, moved) = (dir.file("log"), dir.file("log.1"));
        let writer = open(&path);
        let sink = writer.sink();
        log(&sink, "before");
        sink.flush();
        fs::rename(&path, &moved).unwrap();
        writer.reopen();
        log(&sink, "after");
        drop(sink);
        assert_eq!(writer.close(LIMIT), Counts { written: 2, dropped: 0 });
        assert_eq!(targets(&read(&moved)), ["before"]);
        assert_eq!(targets(&read(&path)), ["after"]);
    }

    #[test]
    fn a_blocked_pipe_is_replaced_by_the_file_now_at_its_path() {
        let dir = TempDir::new();
        let path = dir.file("log");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let writer = open(&path);
        let sink = writer.sink();
        let lines = overfill(&writer, &sink);
        fs::remove_file(&path).unwrap();
        writer.reopen();
        wait_until(|| writer.shared.waiting_lines.load(Relaxed) == 0);
        log(&sink, "/last");
        drop(sink);
        let counts = writer.close(LIMIT);
        assert_eq!(counts.written + counts.dropped, lines + 1);
        assert_eq!(targets(&read(&path)).last(), Some(&"/last"));
    }

    #[test]
    fn a_failed_reopen_leaves_the_old_file_in_use() {
        let dir = TempDir::new();
        let (path, moved) = (dir.file("log"), dir.file("log.1"));
        let writer = open(&path);
        let sink = writer.sink();
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        writer.reopen();
        log(&sink, "a");
        drop(sink);
        assert_eq!(writer.close(LIMIT), Counts { written: 1, dropped: 0 });
        assert_eq!(targets(&read(&moved)), ["a"]);
    }

    #[test]
    fn a_full_disk_loses_lines_until_there_is_room() {
        let dir = TempDir::new();
        let path = dir.file("log");
        symlink("/dev/full", &path).unwrap();
        let writer = open(&path);
        let sink = writer.sink();
        log(&sink, "a");
        log(&sink, "b");
        sink.flush();
        wait_until(|| writer.dropped() == 2);
        fs::remove_file(&path).unwrap();
        writer.reopen();
        log(&sink, "c");
        drop(sink);
        assert_eq!(writer.close(LIMIT), Counts { written: 1, dropped: 2 });
        assert_eq!(targets(&read(&path)), ["c"]);
    }

    #[test]
    fn lines_logged_after_closing_are_dropped() {
        let (_reader, writer) = piped();
        let (sink, shared) = (writer.sink(), Arc::clone(&writer.shared));
        assert_eq!(writer.close(LIMIT), Counts { written: 0, dropped: 0 });
        log(&sink, "a");
        drop(sink);
        assert_eq!(shared.dropped.load(Relaxed), 1);
    }
}
