//! The fuzz target of what follows a handshake: a peer that has the keys and seals what it likes.

use std::sync::Arc;

use rustls::Error;

use super::fuzz::CONFIGS;
use super::record::{RECORD_BYTES_MAX, alert_of};
use super::record_layer::{Content, RecordLayer};
use super::session::TlsSession;
use crate::buffer::{BUFFER_BYTES, Buffer};

/// Longer scripts find nothing that shorter ones do not, but take longer.
const SCRIPT_BYTES_MAX: usize = 300;

/// How many of each may come in a row; more are odd.
const IN_A_ROW_MAX: usize = 32;
const WARNINGS_MAX: usize = 4;

/// Much more than a record holds, and less.
const ROOMS: [usize; 4] = [BUFFER_BYTES, RECORD_BYTES_MAX, 1000, 1];

/// A ticket with an unknown extension: lifetime, age, nonce, ticket, extensions (RFC 8446 §4.6.1).
pub(super) const TICKET: [u8; 25] =
    [4, 0, 0, 21, 0, 0, 1, 0, 0, 0, 0, 7, 1, 9, 0, 3, 5, 5, 5, 0, 4, 250, 250, 0, 0];

/// What is sent is this from its offset on, so that bytes in the wrong place are seen.
fn pattern(from: usize, count: usize) -> Vec<u8> {
    (0..=250).cycle().skip(from % 251).take(count).collect()
}

/// What follows a handshake, of a server and of its client.
pub(super) fn pair() -> (RecordLayer, RecordLayer) {
    let (server, client) = CONFIGS[1].clone();
    let mut server = TlsSession::server(server).expect("a session");
    let name = "a.example".try_into().expect("a name");
    let mut client = TlsSession::client(Arc::clone(&client), name).expect("a session");
    for _ in 0..3 {
        pass_on(&mut client, &mut server);
        pass_on(&mut server, &mut client);
    }
    let after = |mut session: TlsSession| {
        session.leave_rustls();
        session.take_record_layer().expect("nothing is left of the handshake")
    };
    (after(server), after(client))
}

fn pass_on(from: &mut TlsSession, to: &mut TlsSession) {
    let bytes = from.outgoing().to_vec();
    from.sent(bytes.len());
    let mut incoming = to.begin_receiving();
    incoming.append(&bytes);
    to.receive(incoming, None);
}

/// A session whose peer does what `data` says: its first byte chooses sides and room; then come acts of three
/// bytes ([`World::act`]). What is opened is what was sealed, in order, and nothing else ever is; nothing is
/// refused without a reason, and the peer can read the reason; and it reads all that is sealed for it.
pub fn tls_records(data: &[u8]) {
    let data = &data[..data.len().min(SCRIPT_BYTES_MAX)];
    let Some((choices, script)) = data.split_first() else { return };
    let mut world = World::new(*choices);
    for act in script.chunks_exact(3) {
        world.act(act[0], act[1], act[2]);
    }
    world.deliver(0);
    world.check();
}

struct World {
    ours: RecordLayer,
    theirs: RecordLayer,
    room: usize,
    /// What has been sealed and not been opened.
    wire: Vec<u8>,
    sent: usize,
    received: usize,
    updates: usize,
    tickets: usize,
    empties: usize,
    warnings: usize,
    takes_tickets: bool,
    /// Whether the peer broke a rule, so that it may be refused.
    is_odd: bool,
    has_ended: bool,
    refused: Option<Error>,
}

impl World {
    fn new(choices: u8) -> Self {
        let (server, client) = pair();
        let (ours, theirs) = if choices & 1 == 0 { (server, client) } else { (client, server) };
        let room = ROOMS[usize::from(choices >> 1) % ROOMS.len()];
        let (wire, refused) = (Vec::new(), None);
        let (sent, received, updates, empties, warnings) = (0, 0, 0, 0, 0);
        let takes_tickets = choices & 1 == 1;
        // Those that came along with the end of the handshake.
        let tickets = if takes_tickets { 2 } else { 0 };
        let (is_odd, has_ended) = (false, false);
        Self {
            ours,
            theirs,
            room,
            wire,
            sent,
            received,
            updates,
            tickets,
            empties,
            warnings,
            takes_tickets,
            is_odd,
            has_ended,
            refused,
        }
    }

    /// The peer seals plaintext, a key update, any message, alert or other content, or messages in pieces; changes
    /// what is on its way, or adds to it; or we seal for it, or have keys that seal little.
    fn act(&mut self, act: u8, much: u8, more: u8) {
        let count = usize::from(much);
        match act % 11 {
            0 => self.send_plain((count * 129).min(RECORD_BYTES_MAX), usize::from(more) % 5),
            1 => self.update_key(much),
            2 => {
                self.is_odd = true;
                let message = pattern(count, usize::from(more) % 9);
                self.theirs.forge(22, &message, 0, &mut self.wire);
            }
            3 => self.send_alert(much, more),
            // 0 is padding, and the type before it.
            4 if !matches!(much, 0 | 23) => {
                self.is_odd = true;
                self.theirs.forge(much, &pattern(0, usize::from(more)), 1, &mut self.wire);
            }
            5 => {
                self.is_odd |= !more.is_multiple_of(40);
                self.wire.extend(pattern(count, usize::from(more) % 40));
            }
            6 => {
                let length = self.wire.len().max(1);
                if let Some(byte) = self.wire.get_mut((count * 67 + usize::from(more)) % length) {
                    *byte ^= 1 << (more % 8);
                    self.is_odd = true;
                }
            }
            7 if self.refused.is_none() => self.seal(count * 256 + usize::from(more)),
            8 => _ = self.ours.limit(u64::from(much % 4) + 2),
            9 => self.send_messages(much, usize::from(more), false),
            10 => self.send_messages(much, usize::from(more), true),
            _ => {}
        }
        // Some of what is sealed comes later.
        self.deliver(if more.is_multiple_of(3) { usize::from(more) } else { 0 });
    }

    fn send_plain(&mut self, count: usize, padding: usize) {
        let padding = padding.min(RECORD_BYTES_MAX - count);
        self.theirs.forge(23, &pattern(self.sent, count), padding, &mut self.wire);
        self.sent += count;
        if count > 0 {
            (self.updates, self.tickets, self.empties) = (0, 0, 0);
        } else {
            self.empties += 1;
        }
        self.is_odd |= self.empties > IN_A_ROW_MAX;
    }

    fn update_key(&mut self, asks: u8) {
        self.theirs.forge(22, &[24, 0, 0, 1, asks], 0, &mut self.wire);
        self.theirs.skip_key();
        self.updates += 1;
        self.is_odd |= self.updates > IN_A_ROW_MAX || asks > 1;
    }

    /// A ticket, a key update, or one after the other, in pieces; with plaintext between the first two, or not.
    fn send_messages(&mut self, much: u8, place: usize, is_parted: bool) {
        let update = [24, 0, 0, 1, much / 3 % 2];
        let message = match much % 3 {
            0 => TICKET.to_vec(),
            1 => update.to_vec(),
            _ => [&TICKET[..], &update].concat(),
        };
        if much % 3 != 1 {
            self.tickets += 1;
            self.is_odd |= self.tickets > IN_A_ROW_MAX || !self.takes_tickets;
        }
        let must_be_refused = is_parted && !self.is_odd;
        let (first, rest) = message.split_at(place % (message.len() - 1) + 1);
        self.theirs.forge(22, first, 0, &mut self.wire);
        // Between the two messages nothing is parted.
        let is_parted = is_parted && !(much % 3 == 2 && first.len() == TICKET.len());
        if is_parted {
            self.is_odd = true;
            self.theirs.forge(23, b"x", 0, &mut self.wire);
        }
        for piece in rest.chunks(usize::from(much / 6) % rest.len().max(1) + 1) {
            self.theirs.forge(22, piece, 0, &mut self.wire);
        }
        if !much.is_multiple_of(3) {
            self.theirs.skip_key();
            self.updates += 1;
            self.is_odd |= self.updates > IN_A_ROW_MAX;
        }
        if must_be_refused && is_parted {
            self.deliver(0);
            assert!(self.refused.is_some() || self.has_ended, "a message was parted");
        }
    }

    fn send_alert(&mut self, level: u8, description: u8) {
        self.theirs.forge(21, &[level, description], 0, &mut self.wire);
        match (level, description) {
            (1, 90) => {
                self.warnings += 1;
                self.is_odd |= self.warnings > WARNINGS_MAX;
            }
            // What follows it is not looked at.
            (1 | 2, 0) => {}
            _ => self.is_odd = true,
        }
    }

    /// We seal so much, and the peer opens it.
    fn seal(&mut self, count: usize) {
        let plain = pattern(0, count);
        let mut room = vec![0; count + 6 * 64];
        let bytes = self.ours.seal(&plain, &mut room).expect("there is room");
        let (mut opened, mut rest) = (Vec::new(), &mut room[..bytes]);
        while let Some(record) = self.theirs.open(rest, None).expect("what was sealed") {
            let bytes = record.bytes;
            match record.content {
                Content::Plain(bytes) => opened.extend_from_slice(bytes),
                content => assert_eq!(content, Content::Control),
            }
            rest = &mut rest[bytes..];
        }
        assert!(rest.is_empty() && opened == plain, "the peer opened something else");
    }

    /// Opens all that is on its way but the last `held` bytes.
    fn deliver(&mut self, held: usize) {
        while !self.has_ended && self.refused.is_none() {
            let mut into = Buffer::new();
            into.begin_with_room(self.room);
            let come = self.wire.len().saturating_sub(held);
            let (bytes, plain) = match self.ours.open(&mut self.wire[..come], Some(&mut into)) {
                Ok(None) => return,
                Ok(Some(opened)) => {
                    let plain = match opened.content {
                        Content::Placed => into.filled().to_vec(),
                        Content::Plain(plain) => plain.to_vec(),
                        Content::Control => Vec::new(),
                        Content::End => {
                            self.has_ended = true;
                            Vec::new()
                        }
                    };
                    (opened.bytes, plain)
                }
                Err(error) => return self.refuse(error),
            };
            assert_eq!(plain, pattern(self.received, plain.len()), "not what was sealed");
            self.received += plain.len();
            assert!(self.received <= self.sent, "more than was sealed");
            self.wire.drain(..bytes);
        }
    }

    fn refuse(&mut self, error: Error) {
        assert!(self.is_odd, "refused without a reason: {error}");
        let mut room = [0; 128];
        if let Some(alert) = alert_of(&error) {
            let bytes = self.ours.seal_alert(alert, &mut room).expect("there is room");
            let told = read_alert(&mut self.theirs, &mut room[..bytes]);
            assert_eq!(told, Some(Error::AlertReceived(alert)), "of {error}");
        }
        self.refused = Some(error);
    }

    fn check(&self) {
        if !self.is_odd && !self.has_ended {
            assert_eq!((self.received, self.wire.len()), (self.sent, 0), "not all was opened");
        }
    }
}

/// What `bytes` end with, which may begin with a key update.
fn read_alert(peer: &mut RecordLayer, mut bytes: &mut [u8]) -> Option<Error> {
    loop {
        match peer.open(bytes, None) {
            Ok(Some(opened)) => {
                let count = opened.bytes;
                bytes = &mut bytes[count..];
            }
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tls_records() {
        crate::corpus::replay("tls_records", 1000, super::tls_records);
    }
}
