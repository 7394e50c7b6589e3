//! The transport against servers on loopback that behave well, badly and worse.

use super::*;

mod destinations;
mod identity;
mod peer;
mod proxy;
mod reuse;
mod sftp;
mod sinks;
mod streams;
mod trust;
mod wire;
