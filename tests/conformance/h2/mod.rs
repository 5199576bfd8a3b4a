//! RFC 9113 as a server has to hold it, frame by frame: each rule one named test, spoken by
//! [`crate::support::h2::RawClient`].
//!
//! A line `name: state, frames => outcome;` of `h2_rules!` sends frames on a connection in a certain
//! state and says what must come of it. Whatever does not end the connection must leave it able to
//! serve.

/// See the module.
macro_rules! h2_rules {
    ($($name:ident: $state:ident, $frames:expr => $outcome:expr;)+) => {$(
        #[test]
        fn $name() {
            use crate::conformance::h2::gate;
            gate::check(gate::$state(), $frames, &$outcome);
        }
    )+};
}

mod blocks;
mod connection;
mod endpoints;
mod floods;
mod flow;
mod frames;
mod gate;
mod settings;
mod streams;
