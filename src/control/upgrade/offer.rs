//! The side of the old process: what it offers, and when it leaves everything to the new one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::message::{KnownEndpoint, MESSAGE_LIMIT, Message, VERSION, receive, send, unexpected};
use crate::control::listeners::{LentListener, Open};
use crate::net::tls::tickets::TicketKeys;
use crate::net::upgrade_socket::{Channel, DESCRIPTORS_MAX, MESSAGE_BYTES_MAX};
use crate::plan::Plan;
use crate::upstream::Traffic;
use crate::upstream::health::Tick;

/// What one message may say of endpoints, in bytes of their names: JSON escapes can make
/// names several times as long, but not those that occur.
const NAMES_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 8;

/// How long the other process may take to hear that nothing comes of it.
const WITHDRAWAL_LIMIT: Duration = Duration::from_millis(100);

/// Bytes of what else is said of one.
const KNOWN_BYTES: usize = 100;

/// Tells another process what it needs to go on from here.
pub(in crate::control) fn offer<'a>(
    channel: &Channel,
    age: Tick,
    listeners: impl Iterator<Item = (&'a Open, Vec<OwnedFd>)>,
    admin: Option<LentListener<'_>>,
    plan: &Plan,
    deadline: Instant,
) -> io::Result<()> {
    let send = |message: &Message, descriptors: &[BorrowedFd<'_>]| {
        let left = deadline.saturating_duration_since(Instant::now()).min(MESSAGE_LIMIT);
        channel.set_limit(Some(left.max(Duration::from_millis(1))))?;
        send(channel, message, descriptors)
    };
    send(&Message::Hello { version: VERSION, age_millis: age.as_millis() }, &[])?;
    for (Open { id, configured, bound, file, .. }, sockets) in listeners {
        for sockets in sockets.chunks(DESCRIPTORS_MAX) {
            let (configured, bound) = (configured.to_string(), bound.to_string());
            let (id, owns_file) = (*id, file.is_some());
            let count = sockets.len();
            let message = Message::Listener { id, configured, bound, sockets: count, owns_file };
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            send(&message, &sockets)?;
        }
    }
    if let Some(LentListener { configured, bound, socket }) = admin {
        let (configured, bound) = (configured.to_string(), bound.to_string());
        send(&Message::Admin { configured, bound }, &[socket])?;
    }
    // With them the sessions of others can be read: not for just any user that may take over the listeners.
    if let Some(tls) = &plan.tls
        && channel.is_confidential()?
    {
        send(&Message::TicketKeys(TicketKeys::clone(&tls.ticket_keys)), &[])?;
    }
    tell_known(plan, |message| send(message, &[]))?;
    send(&Message::Offered, &[])
}

/// Tells what is known of the endpoints of a plan.
fn tell_known(plan: &Plan, send: impl Fn(&Message) -> io::Result<()>) -> io::Result<()> {
    let (mut known, mut bytes) = (Vec::new(), 0);
    for upstream in &plan.upstreams {
        for endpoint in upstream.endpoints.iter() {
            let (name, address) = (upstream.name.to_string(), endpoint.address.to_string());
            bytes += KNOWN_BYTES + name.len() + address.len();
            let is_tcp = upstream.traffic == Traffic::Tcp;
            let word = endpoint.health().word();
            let orders = endpoint.record.admin_state.word();
            known.push(KnownEndpoint { upstream: name, is_tcp, address, word, orders });
            if bytes > NAMES_BYTES_MAX {
                send(&Message::Health(std::mem::take(&mut known)))?;
                bytes = 0;
            }
        }
    }
    send(&Message::Health(known))
}

/// The addresses at which the other process could accept connections; `None` if it has not said so
/// within `pause`.
pub(crate) fn is_ready(channel: &Channel, pause: Duration) -> io::Result<Option<Vec<String>>> {
    channel.set_limit(Some(pause))?;
    match receive(channel) {
        Ok((Message::Ready(addresses), _)) => Ok(Some(addresses)),
        Ok((other, _)) => Err(unexpected(&other)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves everything to the other process, with what has become of endpoints since it was offered.
/// Whether the pid file goes along. Fails if the other process does not say that it has taken over:
/// it has not, then.
pub(crate) fn give(
    channel: &Channel,
    plan: &Plan,
    pid_file: Option<BorrowedFd<'_>>,
) -> io::Result<bool> {
    channel.set_limit(Some(MESSAGE_LIMIT))?;
    tell_known(plan, |message| send(channel, message, &[]))?;
    send(channel, &Message::Yours, pid_file.as_slice())?;
    match confirmed(channel) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            // From here on it cannot say so any more; it may have done so just before.
            channel.close_entry()?;
            confirmed(channel)
        }
        confirmed => confirmed,
    }
}

fn confirmed(channel: &Channel) -> io::Result<bool> {
    match receive(channel)? {
        (Message::Mine { pid_file }, _) => Ok(pid_file),
        (other, _) => Err(unexpected(&other)),
    }
}

/// Tells the new process, if it still listens, that nothing has come of the offer.
pub(crate) fn withdraw(channel: &Channel) {
    let limited = channel.set_limit(Some(WITHDRAWAL_LIMIT));
    let _ = limited.and_then(|()| send(channel, &Message::GoesOn, &[]));
}
