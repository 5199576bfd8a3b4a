//! What ties a request to an endpoint: the key that its upstream hashes, and the cookie that its client has
//! from an earlier answer.

use super::client_info::ClientInfo;
use crate::balance::{Affinity, PickReason, key};
use crate::http::message::forwarded::says_https;
use crate::http::message::head::RequestHead;
use crate::http::message::lookup;
use crate::id::EndpointId;
use crate::net::listen::Peer;
use crate::upstream::Upstream;
use crate::upstream::settings::Policy;

/// What ties a request to an endpoint; nothing, where its upstream does not ask.
#[derive(Default)]
pub struct RequestTies(Option<Box<Ties>>);

/// Boxed, since most requests have none, and all would have to be moved with room for them.
#[derive(Default)]
struct Ties {
    affinity: Affinity,
    /// What its client is told, where it is to stick.
    stickiness: Option<Stickiness>,
}

/// What a client is told of the endpoint that answers it.
struct Stickiness {
    /// Whether it came over https.
    is_secure: bool,
    /// What Set-Cookie says if the attempt under way is answered.
    set_cookie: Option<String>,
}

impl RequestTies {
    /// What ties a request of this normalised path from `client`, the real one, to endpoints of `upstream`,
    /// if it goes anywhere. What the proxy it came from says is believed if that is `trusted`. An endpoint that
    /// is `wanted` comes before all else.
    #[inline]
    pub fn of(
        upstream: Option<&Upstream>,
        wanted: Option<EndpointId>,
        asked: (&RequestHead<'_, '_>, &[u8]),
        client: Peer,
        from: (&ClientInfo, bool),
    ) -> Self {
        let asks = |upstream: &&Upstream| upstream.hash_on.is_some() || upstream.sticky.is_some();
        let upstream = upstream.filter(asks);
        let mut ties =
            Self(upstream.map(|upstream| Box::new(Ties::read(upstream, asked, client, from))));
        if wanted.is_some() {
            ties.0.get_or_insert_default().affinity.sticky = wanted;
        }
        ties
    }

    /// What its endpoint is picked by.
    pub fn affinity(&self) -> Affinity {
        self.0.as_ref().map_or_else(Affinity::default, |ties| ties.affinity)
    }

    /// An attempt begins at this endpoint of the upstream.
    pub fn trying(&mut self, upstream: &Upstream, endpoint: EndpointId) {
        if let Some(ties) = &mut self.0 {
            ties.trying(upstream, endpoint);
        }
    }

    /// What Set-Cookie says if the attempt under way is answered: something, unless the client has a cookie
    /// that names the endpoint of it.
    pub fn set_cookie(&self) -> Option<&[u8]> {
        let stickiness = self.0.as_ref()?.stickiness.as_ref()?;
        Some(stickiness.set_cookie.as_ref()?.as_bytes())
    }
}

impl Ties {
    #[inline(never)]
    fn read(
        upstream: &Upstream,
        (head, path): (&RequestHead<'_, '_>, &[u8]),
        client: Peer,
        (client_info, trusted): (&ClientInfo, bool),
    ) -> Self {
        let hash_on = upstream.hash_on.as_ref();
        let key = hash_on.and_then(|hash_on| key::of_request(hash_on, head, path, client));
        let Some(sticky) = &upstream.sticky else {
            return Self { affinity: Affinity { key, sticky: None }, stickiness: None };
        };
        let mut values = lookup::cookies(&head.fields, &sticky.cookie.name);
        let affinity = Affinity { key, sticky: values.find_map(|value| sticky.find(value)) };
        let is_secure = client_info.tls().is_some() || trusted && says_https(head);
        Self { affinity, stickiness: Some(Stickiness { is_secure, set_cookie: None }) }
    }

    fn trying(&mut self, upstream: &Upstream, endpoint: EndpointId) {
        let (Some(stickiness), Some(sticky)) = (&mut self.stickiness, &upstream.sticky) else {
            return;
        };
        let is_new = self.affinity.sticky != Some(endpoint);
        stickiness.set_cookie = is_new.then(|| sticky.set_cookie(endpoint, stickiness.is_secure));
    }
}

/// What ties a connection from `client` that is relayed to endpoints of `upstream`.
pub fn of_connection(upstream: &Upstream, client: Peer) -> Affinity {
    let client = client.filter(|_| upstream.hash_on.is_some());
    Affinity { key: client.map(key::of_client), sticky: None }
}

/// The name of the reason for which an endpoint of `upstream` was picked: that of the policy, if it was by
/// that; but `no_key`, where there was nothing to hash.
pub fn reason_name(reason: PickReason, upstream: &Upstream, affinity: Affinity) -> &'static str {
    match (reason, upstream.policy, affinity.key) {
        (PickReason::Policy, Policy::Hash, None) => "no_key",
        (PickReason::Policy, policy, _) => policy.name(),
        (reason, ..) => reason.name(),
    }
}
