//! Describes which endpoint a request would be picked, as far as that does not depend on others.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use crate::balance::tried::Tried;
use crate::balance::{Affinity, Pick, Picker, Standing, key};
use crate::http::message::head::RequestHead;
use crate::http::message::lookup;
use crate::upstream::Upstream;
use crate::upstream::health::Tick;
use crate::upstream::settings::HashOn;

/// What ties a request of this normalised path to an endpoint of `upstream`, a line each.
pub(super) fn of_request(
    upstream: &Arc<Upstream>,
    head: &RequestHead<'_, '_>,
    path: &[u8],
    client: Option<IpAddr>,
) -> String {
    let mut text = String::new();
    if let Some(sticky) = &upstream.sticky {
        let name = &sticky.cookie.name;
        let mut values = lookup::cookies(&head.fields, name).peekable();
        let is_sent = values.peek().is_some();
        let _ = match (values.find_map(|value| sticky.find(value)), is_sent) {
            (Some(id), _) => {
                let endpoint = &upstream.endpoint(id).address;
                writeln!(
                    text,
                    "cookie {name}: leads to {endpoint} while that is healthy and not full"
                )
            }
            (None, true) => {
                writeln!(text, "cookie {name}: leads to no endpoint, another one is set")
            }
            (None, false) => writeln!(text, "cookie {name}: set for the endpoint that answers"),
        };
    }
    let Some(hash_on) = &upstream.hash_on else { return text };
    let Some(key) = key::of_request(hash_on, head, path, client) else {
        let _ = match hash_on {
            HashOn::Client => writeln!(text, "key client: add --client IP to see where it leads"),
            _ => {
                writeln!(
                    text,
                    "key {hash_on}: the request has none and goes to the next endpoint in turn"
                )
            }
        };
        return text;
    };
    let (now, tried) = (Tick::from_millis(1), Tried::default());
    let affinity = Affinity { key: Some(key), sticky: None };
    let standing = Standing::Newcomer;
    let pick = Pick { now, affinity, tried: &tried, random: 0, standing };
    if let Ok(picked) = Picker::new(Arc::clone(upstream), 0).pick(&pick) {
        let endpoint = &upstream.endpoint(picked.endpoint).address;
        let _ = writeln!(
            text,
            "key {hash_on}: hash {key:016x}, leads to {endpoint} while all are healthy and none is busy"
        );
    }
    text
}
