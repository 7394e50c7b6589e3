//! Faults: the real program is killed under load, again and again, and an oracle outside of it judges what is left.
//!
//! A driver posts events with known ids and writes down which were acknowledged; a sink records every request; both
//! live outside the process that is killed.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test: what is not there fails it")]

mod driver;
mod kill;
mod oracle;
mod sink;
