//! What any HTTP message is made of, whichever protocol brought it: its head, its fields, and the
//! rules both must obey.

pub mod authority;
pub mod field;
pub mod forwarded_for;
pub mod head;
