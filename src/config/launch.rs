//! What a process does before it runs.

use super::mistake::Place;
use super::sources::Sources;

/// What is asked of the process, besides what it is to balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchOptions {
    /// The user to become, by name.
    pub user: Option<String>,
    /// The group to become, by name.
    pub group: Option<String>,
    /// Where these are configured.
    pub identity_place: Place,
    /// Where the token of the admin listener is.
    pub token_place: Place,
    /// Whether to go on in the background.
    pub daemon: bool,
    /// Whether another process is to hand over.
    pub upgrade: bool,
}

impl LaunchOptions {
    pub(super) fn of(sources: &Sources) -> Self {
        let flags = &sources.flags;
        let (user, group) = (flags.user.clone(), flags.group.clone());
        let identity_place = sources.place(if user.is_some() { "user" } else { "group" });
        let token_place = sources.place("admin-token-file");
        let (daemon, upgrade) = (flags.daemon, flags.upgrade);
        Self { user, group, identity_place, token_place, daemon, upgrade }
    }
}
