//! What any HTTP message is made of, whichever protocol brought it: its head, its fields, the rules
//! both must obey, and what is changed about them on their way.

pub mod authority;
pub mod date;
mod edit_name;
mod edit_value;
pub mod edits;
pub mod field;
pub mod forwarded;
pub mod forwarded_for;
pub mod frequent_names;
pub mod head;
pub mod hop;
pub mod lookup;
pub mod max_forwards;
pub mod redirect;
pub(in crate::http) mod rules;
pub mod via;
pub mod websocket;
