//! Who gets copies of a route's requests.

use super::route_entry::RouteEntry;
use super::rule_entries::{MirrorEntry, MirrorFields};
use super::upstreams::{At, Upstreams};
use crate::http::rules::mirror::{Mirror, MirrorShare};
use crate::id::UpstreamId;
use crate::upstream::Traffic;

/// Reads what a route says of that.
pub(super) fn read(
    entry: &RouteEntry,
    shares: &[(UpstreamId, u16)],
    upstreams: &mut Upstreams<'_>,
    at: &mut At<'_>,
) -> Option<Mirror> {
    let said = entry.mirror.as_ref()?;
    let place = at.file.place(said.referenced);
    let MirrorFields { upstream, percent } = match &said.value {
        MirrorEntry::Full(fields) => fields,
        MirrorEntry::Text(text) => {
            at.mistakes.add(&place, format!("write mirror: {{upstream: {text:?}, percent: 100}}"));
            return None;
        }
    };
    let share = at.over(percent.as_ref(), share, MirrorShare::ALL);
    let Some(named) = upstream else {
        at.mistakes.add(&place, "a mirror needs upstream: NAME, which gets the copies");
        return None;
    };
    let place = at.file.place(named.referenced);
    let found = upstreams.find(&named.value, Traffic::Http).and_then(|id| {
        match upstreams.get(id).announces {
            None if shares.iter().any(|(own, _)| *own == id) => Err(format!(
                "{:?} gets the requests themselves: name another upstream, or give its endpoints to one of its own",
                named.value
            )),
            None => Ok(id),
            Some(_) => Err(format!(
                "{:?} is told of each connection's client by its proxy key, and copies have connections in \
                 common: leave proxy out of it, or name another upstream",
                named.value
            )),
        }
    });
    let upstream = at.mistakes.take(&place, found)?;
    Some(Mirror { upstream, share })
}

/// Parses a share in percent, with up to two decimals.
fn share(text: &str) -> Result<MirrorShare, String> {
    let wrong =
        || format!("invalid value {text:?}: expected a number from 0 to 100, such as 5 or 0.25");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || !matches!(decimals.len(), 1 | 2) {
        return Err(wrong());
    }
    let hundredths = format!("{whole}{decimals:0<2}").parse().ok();
    hundredths.and_then(MirrorShare::new).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_up_to_two_decimals() {
        for (text, hundredths) in
            [("100", 10_000), ("100.0", 10_000), ("5", 500), ("0.5", 50), ("0.05", 5), ("0", 0)]
        {
            assert_eq!(share(text).ok(), MirrorShare::new(hundredths), "{text}");
        }
        for text in ["", ".5", "5.", "0.125", "100.01", "101", "-1", "+5", "5%", "1e2", "700"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
