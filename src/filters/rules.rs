//! The rules of a configuration, as filters.

use super::Filters;

/// What the routes of the configuration in force say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules;

impl Filters for Rules {
    type Context = ();
}
