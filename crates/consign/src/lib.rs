//! Consign: keeps connector credentials and does the sending itself.
//!
//! `surface` (console, API, CLI) stands on `ops` (what can be done), which stands on `engine` (accept, deliver). Arrows
//! point down and never up.

pub mod api;
pub mod archive;
pub mod cli;
pub mod config;
pub mod console;
pub mod engine;
pub mod keys;
pub mod locked;
pub mod ops;
pub mod server;
pub mod service;
pub mod telemetry;

mod app;
mod commands;
mod manual;
mod third_party;

#[cfg(test)]
mod build_commit;

/// The commit that this program was built from, where whoever built it said so, or the build found it.
pub const COMMIT: Option<&str> = option_env!("CONSIGN_COMMIT");
/// How it was built.
pub const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

pub use app::{App, StartError};
