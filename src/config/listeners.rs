//! Listeners, from flags and file.

use std::collections::HashSet;

use super::admin::Admin;
use super::mistake::{Mistakes, Place};
use super::routes::Routes;
use super::sources::Sources;
use super::upstreams::Upstreams;
use super::value::{self, IsLocal, Listen, Resolve};
use crate::address::Address;
use crate::plan::listener::{ListenerKind, Preamble, Service, Transport};
use crate::plan::sni::SniTable;

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
pub(super) struct SaidListener {
    pub(super) listener: ListenerConfig,
    place: Place,
}

/// The listeners collected so far.
pub(super) struct CollectedListeners<'a> {
    pub(super) said: Vec<SaidListener>,
    /// Where those go that route by server names.
    pub(super) sni_tables: Vec<SniTable>,
    sources: &'a Sources,
}

impl<'a> CollectedListeners<'a> {
    /// Collects the HTTP listeners.
    pub(super) fn of_http(
        sources: &'a Sources,
        resolve: Resolve<'_>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut listeners = Self { said: Vec::new(), sni_tables: Vec::new(), sources };
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

    pub(super) fn add(
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
                        format!("{address} is given twice: leave one out")
                    } else {
                        format!(
                            "{address} overlaps with {earlier}: leave one out, or write another port"
                        )
                    };
                    mistakes.add(place, what);
                }
            }
            let listener = ListenerConfig { address, kind };
            self.said.push(SaidListener { listener, place: place.clone() });
        }
    }

    /// The admin listener, if there is one; notes one at an address of another listener.
    pub(super) fn admin(
        &self,
        sources: &Sources,
        resolve: Resolve<'_>,
        mistakes: &mut Mistakes,
    ) -> Option<Admin> {
        let admin = Admin::of(sources, resolve, mistakes)?;
        let mut others = self.said.iter().map(|said| &said.listener.address);
        if let Some(other) = others.find(|other| overlap(other, &admin.address)) {
            let what = if *other == admin.address {
                format!("{other} is where clients are listened for too: write another port")
            } else {
                format!(
                    "{} overlaps with {other}, where clients are listened for: write another port",
                    admin.address
                )
            };
            mistakes.add(&sources.place("admin"), what);
        }
        Some(admin)
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
        let relays = self.said.iter().flat_map(|said| {
            let upstreams: Vec<_> = match said.listener.kind.service {
                Service::Tcp { upstream } => vec![upstream],
                Service::Sni { table } => self.sni_tables[table.index()].upstreams().collect(),
                Service::Http => Vec::new(),
            };
            upstreams.into_iter().map(|upstream| (&said.place, upstream))
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
