//! How many connections there may be, and how file descriptors are divided between clients and endpoints.

use std::num::NonZeroUsize;

use super::mistake::{Mistakes, Place};
use super::sources::Sources;
use super::value;
use crate::net::limiter::Capacity;
use crate::net::splice;

/// Fewer are not enough for anything.
const DESCRIPTORS_MIN: usize = 64;

/// More descriptors than Linux gives a process by itself (`fs.nr_open`).
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(1 << 20).expect("is not 0");

/// A client and the connection to its endpoint take two (one of HTTP/2 may take more); with room for fewer clients than this
/// hardly any would be served in time.
const CONNECTIONS_MIN: usize = 4;

/// What a worker's runtime takes, and a connection under way to another process.
const BY_RUNTIME: usize = 5;

/// The most copies of requests that a worker has under way.
const COPIES_MAX: usize = 512;

/// Where what there is of descriptors is said to be too little.
const PLACE: Place = Place::Argument("file descriptors");

/// Descriptors by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// How many there may be.
    limit: usize,
}

impl Descriptors {
    /// How many workers there are to be, of so many that `text` says: by default no more than there are
    /// descriptors for.
    pub(super) fn workers(self, wanted: NonZeroUsize, text: &str) -> NonZeroUsize {
        let is_default = value::number(text, 0, 0).is_ok();
        if is_default { wanted.min(self.threads_max()) } else { wanted }
    }

    /// As many as this process may have, once it has raised its limit.
    pub(super) fn of_process() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let limit = limit.maximum.unwrap_or(u64::MAX);
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// Kept for what the process has once: standard streams, logs, signals, an upgrade, a reload; and,
    /// where there are more, for checks and for the admin listener.
    fn reserved(self) -> usize {
        24 + (self.limit / 16).min(104)
    }

    /// Kept for each worker. A listener takes one, and has a connection accepted for which there is no
    /// room yet.
    fn by_worker(self, listeners: usize) -> usize {
        BY_RUNTIME
            + 2 * splice::pipes_max(u64::try_from(self.limit).unwrap_or(u64::MAX))
            + 2 * listeners
    }

    /// As many threads as leave half of the descriptors to connections.
    pub(super) fn threads_max(self) -> NonZeroUsize {
        let half = self.limit.saturating_sub(self.reserved()) / 2;
        NonZeroUsize::new(half / self.by_worker(2)).unwrap_or(NonZeroUsize::MIN)
    }

    /// What is left to the connections of clients and to endpoints.
    fn room(self, threads: NonZeroUsize, listeners: usize) -> usize {
        let workers = self.by_worker(listeners).saturating_mul(threads.get());
        self.limit.saturating_sub(self.reserved()).saturating_sub(workers)
    }

    /// How many copies of requests a worker may have under way: all of them no more than a 32nd of the descriptors,
    /// which come out of those for endpoints. With the longest bodies, 512 hold 32 MiB.
    pub(super) fn copies_max(self, threads: NonZeroUsize) -> u64 {
        (self.limit / 32 / threads).clamp(1, COPIES_MAX) as u64
    }

    /// Notes what there are too few for.
    fn refuse_too_few(self, threads: NonZeroUsize, listeners: usize, mistakes: &mut Mistakes) {
        let Self { limit } = self;
        let are_enough = |limit: &usize| {
            let room = Self { limit: *limit }.room(threads, listeners);
            *limit >= DESCRIPTORS_MIN && room >= 2 * CONNECTIONS_MIN
        };
        if !are_enough(&limit) {
            let needed = (limit..=CONNECTIONS_MAX.get()).find(are_enough).unwrap_or(limit);
            mistakes.add(
                &PLACE,
                format!(
                    "this process may open {limit}, and {threads} threads with {listeners} \
                     listeners need {needed}: raise the limit (ulimit -n, LimitNOFILE=)"
                ),
            );
        }
    }
}

/// How many connections there may be. By default, half of the descriptors: a client whose
/// request is in flight needs another one to its endpoint. A client of HTTP/2 may need one for each of its
/// streams, up to 128 and more: what is kept for endpoints is not divided among clients, and whoever finds
/// nothing left waits, and gets 503 in the end. A larger setting is for clients that are
/// mostly idle; it leaves an eighth to endpoints. The second is a warning, if there is one.
pub(super) fn of(
    sources: &Sources,
    descriptors: Descriptors,
    threads: NonZeroUsize,
    listeners: usize,
    mistakes: &mut Mistakes,
) -> (Capacity, Option<String>) {
    descriptors.refuse_too_few(threads, listeners, mistakes);
    let mut bound = |flag: &'static str, text: &Option<String>| {
        let text = text.as_ref()?;
        let number = value::number(text, NonZeroUsize::MIN, CONNECTIONS_MAX);
        mistakes.take(&sources.place(flag), number)
    };
    let said = bound("max-connections", &sources.flags.max_connections);
    let per_client_max =
        bound("max-connections-per-client", &sources.flags.max_connections_per_client);
    let room = descriptors.room(threads, listeners);
    let at_least_one = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    let (half, most) = (at_least_one(room / 2), at_least_one(room - room / 8));
    let connections_max = said.unwrap_or(half).min(most).min(CONNECTIONS_MAX);
    let warning = said.filter(|said| *said > connections_max).map(|said| {
        format!(
            "--max-connections {said}: there are file descriptors for {connections_max}, which is \
             what holds (ulimit -n, LimitNOFILE=)"
        )
    });
    (Capacity { connections_max, per_client_max }, warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(limit: usize, threads: usize, listeners: usize) -> usize {
        Descriptors { limit }.room(NonZeroUsize::new(threads).unwrap(), listeners)
    }

    #[test]
    fn any_number_from_64_up_has_room_for_clients_and_endpoints() {
        for limit in [64, 128, 256, 1024, 65_536, usize::MAX] {
            let threads = Descriptors { limit }.threads_max();
            assert!(room(limit, threads.get(), 1) >= limit / 4, "{limit}");
            let mut mistakes = Mistakes::default();
            Descriptors { limit }.refuse_too_few(threads, 1, &mut mistakes);
            assert!(mistakes.none((), &[]).is_ok(), "{limit}");
        }
        assert_eq!([room(256, 2, 1), room(1024, 2, 1)], [198, 906]);
    }

    #[test]
    fn what_is_too_little_says_how_much_is_enough() {
        let needed = |limit, threads, listeners| {
            let (mut mistakes, threads) =
                (Mistakes::default(), NonZeroUsize::new(threads).unwrap());
            Descriptors { limit }.refuse_too_few(threads, listeners, &mut mistakes);
            let mistakes = mistakes.none((), &[]).unwrap_err();
            let (_, rest) = mistakes[0].what.split_once("listeners need ").unwrap();
            rest.split(':').next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(needed(63, 1, 1), 64);
        for (limit, threads, listeners) in [(64, 64, 1), (64, 1, 40), (256, 32, 4)] {
            let enough = Descriptors { limit: needed(limit, threads, listeners) };
            let mut mistakes = Mistakes::default();
            let threads = NonZeroUsize::new(threads).unwrap();
            enough.refuse_too_few(threads, listeners, &mut mistakes);
            assert!(mistakes.none((), &[]).is_ok(), "{limit} {threads} {listeners} {enough:?}");
        }
    }
}
