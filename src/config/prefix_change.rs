//! What becomes of the prefix of a route.

use super::mistake::Place;
use super::route_entry::RouteEntry;
use super::sources::At;
use crate::plan::PrefixChange;
use crate::route::{Pattern, normalise};

/// What becomes of the prefix of a route with this pattern, which is at `place`.
pub(super) fn read(
    entry: &RouteEntry,
    pattern: &Pattern,
    (place, at): (&Place, &mut At<'_>),
) -> Option<PrefixChange> {
    let strips = entry.strip_prefix == Some(true);
    let Some(said) = &entry.replace_prefix else {
        if !strips {
            return None;
        }
        let prefix = pattern.segments();
        if prefix.is_none() {
            let what = format!("strip_prefix requires whole segments, and {pattern} has none");
            at.mistakes.add(place, what);
        }
        return prefix.map(|prefix| PrefixChange { from: prefix.into(), to: "".into() });
    };
    let said_at = at.file.place(said.referenced);
    if strips {
        let what = "replace_prefix: strip_prefix is there, too: leave one of them out";
        at.mistakes.add(&said_at, what);
    }
    let is_star = pattern.to_string().ends_with('*');
    if is_star {
        let what = format!("replace_prefix requires whole segments, and {pattern} has none");
        at.mistakes.add(&said_at, what);
    }
    let to = at.mistakes.take(&said_at, replacement(&said.value))?;
    let from = pattern.segments().unwrap_or_default().into();
    (!is_star && !strips).then_some(PrefixChange { from, to })
}

/// Checks what a prefix becomes: segments, without the slash at their end.
fn replacement(text: &str) -> Result<Box<str>, String> {
    let wrong = |what: &str| Err(format!("replace_prefix: {text:?}: {what}"));
    if !text.starts_with('/') || text.starts_with("//") {
        return wrong("write a path that begins with one /, as in /v2");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#*{}\\".contains(&byte)) {
        return wrong(
            "write visible ASCII without ?, #, *, braces and backslashes; %20 for a space",
        );
    }
    match normalise(text.as_bytes()) {
        Ok(normal) if *normal == *text.as_bytes() => {
            Ok(text.strip_suffix('/').unwrap_or(text).into())
        }
        Ok(normal) => wrong(&format!("write {}", String::from_utf8_lossy(&normal))),
        Err(_) => wrong("it climbs above the root: remove the surplus .."),
    }
}
