//! Listeners, from flags and file.

use std::collections::HashSet;

use super::file::{File, RelayEntry, RelayFields};
use super::mistake::{Mistakes, Place};
use super::routes::Routes;
use super::sources::Sources;
use super::upstreams::{At, Upstreams};
use super::value::{self, IsLocal, Listen, Relay, Resolve};
use crate::address::Address;
use crate::plan::listener::{ListenerKind, Preamble, Service, Transport};
use crate::upstream::Traffic;

/// The default address for HTTP.
const LISTEN: &str = "127.0.0.1:8080";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The address.
    pub address: Address,
    /// What it is for.
    pub kind: ListenerKind,
}

/// A listener, and where it is configured.
pub(super) struct Said {
    pub(super) listener: ListenerConfig,
    place: Place,
}

/// The listeners collected so far.
pub(super) struct Listeners<'a> {
    pub(super) said: Vec<Said>,
    sources: &'a Sources,
    resolve: Resolve<'a>,
}

impl<'a> Listeners<'a> {
    /// Collects the HTTP listeners.
    pub(super) fn of_http(
        sources: &'a Sources,
        resolve: Resolve<'a>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut listeners = Self { said: Vec::new(), sources, resolve };
        let (given, given_tls) = (&sources.flags.listen, &sources.flags.listen_tls);
        let by_default = given.is_empty()
            && given_tls.is_empty()
            && (sources.any_routes() || !sources.any_relays());
        let plain = given.iter().map(String::as_str).chain(by_default.then_some(LISTEN));
        let tls = given_tls.iter().map(String::as_str);
        let plain = plain.enumerate().map(|said| (said, "listen", Transport::Plain));
        let tls = tls.enumerate().map(|said| (said, "listen-tls", Transport::Tls));
        for ((nth, text), flag, transport) in plain.chain(tls) {
            let place = sources.nth_place(flag, nth);
            if let Some(listen) = mistakes.take(&place, value::listen(text, resolve)) {
                listeners.add(listen, transport, Service::Http, &place, mistakes);
            }
        }
        listeners
    }

    /// Those that terminate TLS, in order.
    pub(super) fn tls(&self) -> impl Iterator<Item = &ListenerConfig> {
        let listeners = self.said.iter().map(|said| &said.listener);
        listeners.filter(|listener| listener.kind.transport == Transport::Tls)
    }

    /// Whether any takes requests in plain text.
    pub(super) fn any_plain_http(&self) -> bool {
        let is_plain = |kind: ListenerKind| {
            kind.transport == Transport::Plain && kind.service == Service::Http
        };
        self.said.iter().any(|said| is_plain(said.listener.kind))
    }

    /// Adds the TCP listeners, with their upstreams.
    pub(super) fn add_relays(&mut self, upstreams: &mut Upstreams<'a>, mistakes: &mut Mistakes) {
        for (nth, text) in self.sources.flags.tcp.iter().enumerate() {
            let place = self.sources.nth_place("tcp", nth);
            self.add_relay(text, &place, upstreams, mistakes);
        }
        let Some(file) = &self.sources.file else { return };
        for entry in self.sources.relays() {
            let place = file.place(entry.referenced);
            match &entry.value {
                RelayEntry::Text(text) => self.add_relay(text, &place, upstreams, mistakes),
                RelayEntry::Full(fields) => {
                    self.add_full(fields, file, &place, upstreams, mistakes);
                }
            }
        }
    }

    fn add_relay(
        &mut self,
        text: &str,
        place: &Place,
        upstreams: &mut Upstreams<'a>,
        mistakes: &mut Mistakes,
    ) {
        let read = mistakes.take(place, value::relay(text, self.resolve));
        let Some(Relay { listen, destination }) = read else { return };
        let name = text.split(['=', ',']).next().unwrap_or_default();
        let upstream = upstreams.add(name, destination, Traffic::Tcp);
        self.add(listen, Transport::Plain, Service::Tcp { upstream }, place, mistakes);
    }

    fn add_full(
        &mut self,
        fields: &RelayFields,
        file: &File,
        place: &Place,
        upstreams: &mut Upstreams<'a>,
        mistakes: &mut Mistakes,
    ) {
        let Some(listen) = &fields.listen else {
            return mistakes.add(place, "a relay needs listen: ADDRESS");
        };
        let at = file.place(listen.referenced);
        let read = mistakes.take(&at, value::listen(&listen.value, self.resolve));
        let name = listen.value.split(',').next().unwrap_or_default();
        let upstream = match (&fields.upstream, &fields.endpoints) {
            (Some(named), None) => {
                let place = file.place(named.referenced);
                mistakes.take(&place, upstreams.find(&named.value, Traffic::Tcp))
            }
            (None, Some(endpoints)) => {
                let at = (place, &mut At { file, mistakes });
                Some(upstreams.add_listed(name, endpoints, at, Traffic::Tcp))
            }
            _ => {
                mistakes.add(place, "a relay needs either upstream: NAME or endpoints: [ADDRESS]");
                None
            }
        };
        if let (Some(listen), Some(upstream)) = (read, upstream) {
            self.add(listen, Transport::Plain, Service::Tcp { upstream }, place, mistakes);
        }
    }

    fn add(
        &mut self,
        listen: Listen,
        transport: Transport,
        service: Service,
        place: &Place,
        mistakes: &mut Mistakes,
    ) {
        if listen.preamble == Preamble::ProxyHeader && self.sources.flags.trusted.is_empty() {
            let what = "\",proxy\" requires --trusted: the networks whose headers are accepted";
            mistakes.add(place, what);
        }
        let kind = ListenerKind { preamble: listen.preamble, transport, service };
        for address in listen.addresses {
            for said in &self.said {
                let earlier = &said.listener.address;
                if overlap(earlier, &address) {
                    let what = if earlier == &address {
                        format!("{address} is given twice")
                    } else {
                        format!("{address} overlaps with {earlier}")
                    };
                    mistakes.add(place, what);
                }
            }
            let listener = ListenerConfig { address, kind };
            self.said.push(Said { listener, place: place.clone() });
        }
    }

    /// Notes endpoints where we listen ourselves: what is sent there would come back until there are
    /// no connections left.
    pub(super) fn refuse_loops(
        &self,
        routes: &Routes,
        upstreams: &Upstreams<'_>,
        is_local: IsLocal<'_>,
        mistakes: &mut Mistakes,
    ) {
        let relays = self.said.iter().filter_map(|said| match said.listener.kind.service {
            Service::Tcp { upstream } => Some((&said.place, upstream)),
            Service::Http => None,
        });
        let mut seen = HashSet::new();
        for (place, upstream) in routes.leads().chain(relays) {
            if !seen.insert(upstream) {
                continue;
            }
            for endpoint in upstreams.get(upstream).endpoints.iter() {
                let mut ours = self.said.iter().map(|said| &said.listener.address);
                if ours.any(|ours| leads_to(&endpoint.address, ours, is_local)) {
                    let what = format!("{endpoint} is where this balancer listens itself");
                    mistakes.add(place, what);
                }
            }
        }
    }
}

/// Whether the kernel would refuse to bind both addresses.
fn overlap(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => {
            let anywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
            let same_ip = one.ip() == other.ip() || anywhere && one.is_ipv4() == other.is_ipv4();
            one.port() != 0 && one.port() == other.port() && same_ip
        }
        _ => one == other,
    }
}

/// Whether a connection to `to` is accepted at `listen`.
pub fn leads_to(to: &Address, listen: &Address, is_local: IsLocal<'_>) -> bool {
    match (to, listen) {
        (Address::Tcp(to), Address::Tcp(listen)) if to.port() == listen.port() => {
            let (to, listen) = (to.ip().to_canonical(), listen.ip().to_canonical());
            // Connecting to the unspecified address reaches this machine.
            let is_ours = || to.is_unspecified() || to.is_loopback() || is_local(to);
            to == listen
                || listen.is_unspecified() && to.is_ipv4() == listen.is_ipv4() && is_ours()
                || to.is_unspecified() && listen.is_loopback()
        }
        (Address::Tcp(_), Address::Tcp(_)) => false,
        _ => to == listen,
    }
}
