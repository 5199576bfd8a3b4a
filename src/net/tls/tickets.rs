//! Session tickets (RFC 8446 §4.6.1, RFC 5077): what lets a client that has been here resume, whichever
//! worker or process it meets. The keys live in memory and travel to the next process; they never touch
//! a disk.

use std::fmt;
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

/// How long a key seals tickets. For as long again it opens them.
const ROTATION: Duration = Duration::from_secs(12 * 3600);

/// What clients are told: from when on a ticket may be useless.
const LIFETIME_SECONDS: u32 = 12 * 3600;

/// The largest ticket, in bytes. It holds the chain that a client has shown, and comes back in every
/// `ClientHello`.
const TICKET_BYTES_MAX: usize = 8 * 1024;

const NAME_BYTES: usize = 16;
const HEADER_BYTES: usize = NAME_BYTES + NONCE_LEN;

/// A key of AES-256-GCM, and the name that tickets call it by.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TicketKey {
    name: [u8; NAME_BYTES],
    secret: [u8; 32],
}

impl TicketKey {
    fn new(random: &[u8; 48]) -> Self {
        let (mut name, mut secret) = ([0; NAME_BYTES], [0; 32]);
        name.copy_from_slice(&random[..NAME_BYTES]);
        secret.copy_from_slice(&random[NAME_BYTES..]);
        Self { name, secret }
    }
}

/// The keys of tickets: one seals, and both open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKeys {
    current: TicketKey,
    previous: Option<TicketKey>,
    /// Since when the current one seals, in seconds since 1970.
    since: u64,
}

impl TicketKeys {
    /// One key, from random bytes, at a time since 1970.
    pub fn new(now: Duration, random: &[u8; 48]) -> Self {
        Self { current: TicketKey::new(random), previous: None, since: now.as_secs() }
    }

    /// Those that follow if it is time for them: every 12 hours, or when the clock has been set back.
    pub fn rotated(&self, now: Duration, random: &[u8; 48]) -> Option<Self> {
        let age = now.as_secs().checked_sub(self.since);
        let is_due = age.is_none_or(|age| age >= ROTATION.as_secs());
        let previous = || Some(self.current.clone());
        is_due.then(|| Self { previous: previous(), ..Self::new(now, random) })
    }
}

/// Keys are never shown.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("since", &self.since).finish_non_exhaustive()
    }
}

/// Random bytes for a key.
///
/// # Panics
///
/// If the system has none, which Linux does not say once it has booted: a key must not be predictable.
pub fn random_key() -> [u8; 48] {
    let mut random = [0; 48];
    SystemRandom::new().fill(&mut random).expect("random bytes");
    random
}

/// Seals and opens tickets.
pub(super) struct Ticketer {
    current: OpeningKey,
    previous: Option<OpeningKey>,
    /// What tickets are bound to besides their key: what clients have to show.
    binding: [u8; 32],
    random: SystemRandom,
}

struct OpeningKey {
    name: [u8; NAME_BYTES],
    key: LessSafeKey,
}

impl OpeningKey {
    fn new(key: &TicketKey) -> Option<Self> {
        let unbound = UnboundKey::new(&AES_256_GCM, &key.secret).ok()?;
        Some(Self { name: key.name, key: LessSafeKey::new(unbound) })
    }
}

impl Ticketer {
    /// With a digest of what clients have to show: a ticket that was given where that was less does not
    /// open where it is more.
    pub(super) fn new(keys: &TicketKeys, binding: [u8; 32]) -> Option<Self> {
        let previous = keys.previous.as_ref().and_then(OpeningKey::new);
        let current = OpeningKey::new(&keys.current)?;
        Some(Self { current, previous, binding, random: SystemRandom::new() })
    }

    fn associated(&self, name: &[u8; NAME_BYTES]) -> Aad<[u8; NAME_BYTES + 32]> {
        let mut data = [0; NAME_BYTES + 32];
        data[..NAME_BYTES].copy_from_slice(name);
        data[NAME_BYTES..].copy_from_slice(&self.binding);
        Aad::from(data)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    /// Name of the key, nonce, what is sealed, tag. A random nonce tells nobody how many tickets there
    /// were, and at fewer than 2^32 for a key none comes twice.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let OpeningKey { name, key } = &self.current;
        let length = HEADER_BYTES + plain.len() + AES_256_GCM.tag_len();
        if length > TICKET_BYTES_MAX {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(length);
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = &mut ticket[HEADER_BYTES..];
        let tag = key.seal_in_place_separate_tag(nonce, self.associated(name), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let OpeningKey { name, key } = keys.find(|key| key.name == *name)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut plain = sealed.to_vec();
        let length = key.open_in_place(nonce, self.associated(name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn ticketer(keys: &TicketKeys) -> Ticketer {
        Ticketer::new(keys, [0; 32]).unwrap()
    }

    #[test]
    fn a_ticket_opens_until_its_key_has_rotated_twice() {
        let first = TicketKeys::new(HOUR, &[1; 48]);
        let ticket = ticketer(&first).encrypt(b"session").unwrap();
        assert_eq!(ticketer(&first).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let second = first.rotated(13 * HOUR, &[2; 48]).unwrap();
        assert_eq!(ticketer(&second).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let third = second.rotated(25 * HOUR, &[3; 48]).unwrap();
        assert_eq!(ticketer(&third).decrypt(&ticket), None);
    }

    #[test]
    fn keys_rotate_every_12_hours_and_when_the_clock_was_set_back() {
        let keys = TicketKeys::new(HOUR, &[1; 48]);
        assert_eq!(keys.rotated(Duration::from_secs(13 * 3600 - 1), &[2; 48]), None);
        for now in [13 * HOUR, 50 * HOUR, Duration::ZERO] {
            let next = keys.rotated(now, &[2; 48]).unwrap();
            assert!(next.previous.as_ref() == Some(&keys.current));
        }
    }

    #[test]
    fn a_ticket_is_bound_to_what_clients_had_to_show() {
        let keys = TicketKeys::new(HOUR, &[1; 48]);
        let ticket = ticketer(&keys).encrypt(b"session").unwrap();
        assert_eq!(Ticketer::new(&keys, [1; 32]).unwrap().decrypt(&ticket), None);
    }

    #[test]
    fn what_is_no_ticket_does_not_open() {
        let ticketer = ticketer(&TicketKeys::new(HOUR, &[1; 48]));
        let ticket = ticketer.encrypt(b"session").unwrap();
        for place in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[place] ^= 1;
            assert_eq!(ticketer.decrypt(&forged), None, "{place}");
            assert_eq!(ticketer.decrypt(&ticket[..place]), None, "{place}");
        }
    }

    #[test]
    fn its_size_is_bounded() {
        let ticketer = ticketer(&TicketKeys::new(HOUR, &[1; 48]));
        let room = TICKET_BYTES_MAX - HEADER_BYTES - AES_256_GCM.tag_len();
        let largest = ticketer.encrypt(&vec![0; room]).unwrap();
        assert!(ticketer.decrypt(&largest).is_some());
        assert_eq!(ticketer.encrypt(&vec![0; room + 1]), None);
    }

    #[test]
    fn the_keys_survive_the_way_to_another_process_and_are_never_shown() {
        let keys = TicketKeys::new(HOUR, &[201; 48]).rotated(20 * HOUR, &[202; 48]).unwrap();
        let text = serde_json::to_string(&keys).unwrap();
        assert_eq!(serde_json::from_str::<TicketKeys>(&text).unwrap(), keys);
        let shown = format!("{keys:?} {:?}", ticketer(&keys));
        assert!(!shown.contains("201") && !shown.contains("202"), "{shown}");
    }
}
