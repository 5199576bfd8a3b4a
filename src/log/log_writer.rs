//! The access log's way out: one thread writes what all workers hand over, and none of them ever
//! waits for it. Lines that find no room are dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::access_log::{Format, Formatter};

use super::output::Output;
use super::queue::{QUEUE_SLOTS, Shared, Sink, WriterCommand};
use super::target::LogTarget;
use super::writer::Writer;

/// How many lines there were, since the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Whole lines that are in the target.
    pub written: u64,
    /// Lines that are not, for want of room or because of an error.
    pub dropped: u64,
}

/// The thread that writes, seen from outside. Without [`LogWriter::close`] it goes on until the last
/// [`Sink`] has gone and all is written, which the end of the process does not wait for.
pub struct LogWriter {
    commands: SyncSender<WriterCommand>,
    shared: Arc<Shared>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

impl LogWriter {
    /// Opens the target and starts the thread. A file is created with mode 0640; a FIFO that nobody
    /// reads is an error (`ENXIO`).
    pub fn open(target: LogTarget, format: Format) -> io::Result<Self> {
        Self::start(Output::open(target)?, format)
    }

    fn start(output: Output, format: Format) -> io::Result<Self> {
        let (commands, queue) = sync_channel(QUEUE_SLOTS);
        let (ending, ended) = sync_channel::<()>(1);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(Formatter::new(format), output, Arc::clone(&shared));
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run(&queue);
            drop(queue);
            drop(ending);
        })?;
        Ok(Self { commands, shared, ended })
    }

    /// A handle for one worker.
    pub fn sink(&self) -> Sink {
        Sink::new(self.commands.clone(), Arc::clone(&self.shared))
    }

    /// Has the path opened anew, after what waits now has been written, or before if the old file takes
    /// nothing; for whoever moved that away. Returns at once. If it cannot be opened the old file stays
    /// in use, and that is logged.
    pub fn reopen(&self) {
        if !self.shared.reopening.swap(true, AcqRel) {
            // There is a slot for it, unless the thread has ended.
            let _ = self.commands.try_send(WriterCommand::Reopen);
        }
    }

    /// Lines that were dropped, for want of room or because of an error.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Lines that were written whole.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Relaxed)
    }

    /// Ends the thread once all that waits is written, or `limit` has passed: then what is left is
    /// dropped. Exact if all sinks have gone before.
    pub fn close(self, limit: Duration) -> Counts {
        let _ = self.commands.try_send(WriterCommand::Close);
        // Either way it is over: nothing is ever sent.
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
    use crate::log::output::tests::Folder;
    use crate::log::queue::QUEUE_BYTES_MAX;

    /// Longer than any of these tests takes.
    const LIMIT: Duration = Duration::from_secs(60);

    fn until(what: impl Fn() -> bool) {
        let started = Instant::now();
        while !what() {
            assert!(started.elapsed() < LIMIT, "it never happens");
            thread::yield_now();
        }
    }

    /// Logs a request for this target, at the beginning of time.
    fn log(sink: &Sink, target: &str) {
        let mut texts = Texts::default();
        texts.keep([b"GET", target.as_bytes(), b"", b"", b"", b""]);
        sink.push(&NOTHING, &texts, &Arc::default());
    }

    /// The targets in a text of whole lines.
    fn targets(text: &str) -> Vec<&str> {
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let target = |line: &str| line.starts_with("unix:") && line.ends_with(" peer=unix:");
        assert!(text.lines().all(target), "{text}");
        text.lines().filter_map(|line| line.split(' ').nth(6)).collect()
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    fn open(path: &Path) -> LogWriter {
        LogWriter::open(LogTarget::File(path.to_owned()), Format::Combined).unwrap()
    }

    fn piped() -> (io::PipeReader, LogWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, LogWriter::start(Output::to_pipe(writer), Format::Combined).unwrap())
    }

    /// Logs until the pipe, the queue and the batch are full and lines are dropped; says how many.
    fn overfill(writer: &LogWriter, sink: &Sink) -> u64 {
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
        let folder = Folder::new();
        let path = folder.file("log");
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
    fn a_reader_that_stops_reading_costs_lines_and_nothing_else() {
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
    fn a_reader_that_never_reads_does_not_hold_up_the_end() {
        let (_reader, writer) = piped();
        let sink = writer.sink();
        let lines = overfill(&writer, &sink);
        drop(sink);
        let counts = writer.close(Duration::ZERO);
        assert_eq!(counts.written + counts.dropped, lines);
    }

    #[test]
    fn a_flush_keeps_what_would_wait_elsewhere() {
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
    fn a_reader_that_has_gone_costs_the_lines_and_not_the_process() {
        let (reader, writer) = piped();
        drop(reader);
        let sink = writer.sink();
        log(&sink, "a");
        sink.flush();
        until(|| writer.dropped() == 1);
        log(&sink, "b");
        drop(sink);
        assert_eq!(writer.close(LIMIT), Counts { written: 0, dropped: 2 });
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew_behind_what_waits() {
        let folder = Folder::new();
        let (path, moved) = (folder.file("log"), folder.file("log.1"));
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
    fn a_pipe_that_nobody_reads_is_given_up_for_what_is_at_its_path() {
        let folder = Folder::new();
        let path = folder.file("log");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let writer = open(&path);
        let sink = writer.sink();
        let lines = overfill(&writer, &sink);
        fs::remove_file(&path).unwrap();
        writer.reopen();
        until(|| writer.shared.waiting_lines.load(Relaxed) == 0);
        log(&sink, "/last");
        drop(sink);
        let counts = writer.close(LIMIT);
        assert_eq!(counts.written + counts.dropped, lines + 1);
        assert_eq!(targets(&read(&path)).last(), Some(&"/last"));
    }

    #[test]
    fn a_path_that_cannot_be_opened_anew_leaves_the_old_file_in_use() {
        let folder = Folder::new();
        let (path, moved) = (folder.file("log"), folder.file("log.1"));
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
    fn a_full_disk_costs_lines_until_there_is_room() {
        let folder = Folder::new();
        let path = folder.file("log");
        symlink("/dev/full", &path).unwrap();
        let writer = open(&path);
        let sink = writer.sink();
        log(&sink, "a");
        log(&sink, "b");
        sink.flush();
        until(|| writer.dropped() == 2);
        fs::remove_file(&path).unwrap();
        writer.reopen();
        log(&sink, "c");
        drop(sink);
        assert_eq!(writer.close(LIMIT), Counts { written: 1, dropped: 2 });
        assert_eq!(targets(&read(&path)), ["c"]);
    }

    #[test]
    fn lines_logged_after_the_end_are_dropped() {
        let (_reader, writer) = piped();
        let (sink, shared) = (writer.sink(), Arc::clone(&writer.shared));
        assert_eq!(writer.close(LIMIT), Counts { written: 0, dropped: 0 });
        log(&sink, "a");
        drop(sink);
        assert_eq!(shared.dropped.load(Relaxed), 1);
    }
}
