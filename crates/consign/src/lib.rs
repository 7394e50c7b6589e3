//! Consign: keeps connector credentials and does the sending itself.
//!
//! `surface` (console, API, CLI) stands on `ops` (what can be done), which stands on `engine` (accept, deliver). Arrows
//! point down and never up.

pub mod api;
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
mod manual;

pub use app::{App, StartError};
