//! The connections that the old process lets go, and the thread that takes them in.

use std::io;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;

use crate::control::workers::WorkerHandles;
use crate::net::descriptors;
use crate::net::hand_off::HandedOff;
use crate::net::upgrade_socket::{Channel, MESSAGE_BYTES_MAX};
use crate::worker::command::WorkerCommand;

/// How long the workers may take to make room for a connection.
const TAKE_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks for room.
const PAUSE: Duration = Duration::from_millis(1);

/// What comes from the old process, until it ends or nothing more is taken.
pub(crate) struct Arrivals {
    channel: Channel,
    taking: JoinHandle<()>,
}

impl Arrivals {
    /// Takes in what the old process lets go, on a thread of its own.
    pub(crate) fn start(channel: Channel, workers: WorkerHandles) -> io::Result<Self> {
        channel.set_limit(None)?;
        let own = channel.try_clone()?;
        let taking = move || {
            let count = take_all(&own, &workers);
            // What is not taken here is kept and finished there.
            let _ = own.close_entry();
            log::info!("the old process has handed over {count} connections");
        };
        let taking = thread::Builder::new().name("arrivals".to_owned()).spawn(taking)?;
        Ok(Self { channel, taking })
    }

    /// Takes in what is on its way, and no more: the old process keeps the rest.
    pub(crate) fn end(self) {
        let ended = self.channel.close_entry().is_ok();
        if ended && self.taking.join().is_err() {
            log::error!("the thread of arrivals has panicked");
        }
    }
}

fn take_all(channel: &Channel, workers: &WorkerHandles) -> usize {
    let (mut count, mut bytes) = (0, vec![0; MESSAGE_BYTES_MAX]);
    loop {
        let (length, descriptors) = match receive(channel, &mut bytes) {
            Ok(Some(received)) => received,
            Ok(None) => return count,
            Err(error) => {
                log::error!("a connection that was handed over is lost: {error}");
                return count;
            }
        };
        let handed_off: Result<HandedOff, _> = serde_json::from_slice(&bytes[..length]);
        let (Ok(handed_off), Some(descriptor)) = (handed_off, descriptors.into_iter().next())
        else {
            log::warn!("something was handed over that is no connection");
            continue;
        };
        if !give(handed_off, descriptor, workers, count) {
            log::error!("a connection that was handed over is lost: no worker takes it");
        }
        count += 1;
    }
}

/// The next connection, as soon as there is a descriptor for it: the kernel would drop it otherwise.
fn receive(channel: &Channel, bytes: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    channel.readable()?;
    let deadline = Instant::now() + TAKE_LIMIT;
    loop {
        match channel.try_clone() {
            Err(error) if descriptors::are_exhausted(&error) && Instant::now() < deadline => {
                // The old process keeps what it has not sent yet.
                channel.close_entry()?;
                descriptors::ask();
                thread::sleep(PAUSE);
            }
            spare => {
                drop(spare?);
                return channel.receive_into(bytes);
            }
        }
    }
}

/// Gives a connection to a worker, each in turn, or to the next that has room. Whether one had.
fn give(handed_off: HandedOff, descriptor: OwnedFd, workers: &WorkerHandles, turn: usize) -> bool {
    let mut command = WorkerCommand::Take(handed_off, descriptor);
    let deadline = Instant::now() + TAKE_LIMIT;
    loop {
        let (before, after) = workers.senders().split_at(turn % workers.senders().len());
        for worker in after.iter().chain(before) {
            match worker.try_send(command) {
                Ok(()) => return true,
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => command = back,
            }
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
}
