//! Everything that is tested from outside, one module each.

mod tidy;
