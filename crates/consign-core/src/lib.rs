//! The vocabulary of Consign: credentials, connectors, events and deliveries as plain values.
//!
//! A *credential* says where a tool is and how we are let in. A *connector* says what goes there. An *event* comes
//! in once; every interested webhook gets a *delivery* of it. This crate knows the rules of all of them and does
//! nothing: no run time, no network, no database, no clock. Time is an argument; randomness enters only in
//! [`vault`], [`sign`] and [`id`].
//!
//! Modules stand in reading order.

pub mod hex;
pub mod id;
pub mod locale;
pub mod time;

pub mod redact;
pub mod secret;
pub mod sign;
pub mod subnet;
pub mod vault;

pub mod allowance;
pub mod catalog;
pub mod client_certificate;
pub mod field_manager;
pub mod name;

pub mod address;
pub mod header;
pub mod host;
pub mod pin;
pub mod proxy;
pub mod target;

pub mod ssh_key;

pub mod assertion;
pub mod auth;
pub mod connection_test;
pub mod credential;
pub mod oidc;
pub mod preset;
pub mod token;

pub mod condition;
pub mod connector;
pub mod event;
pub mod json;
pub mod schedule;
pub mod template;

pub mod answer;
pub mod delivery;
pub mod operation;
pub mod replay;
pub mod retry_after;

pub mod api_key;
pub mod audit;
pub mod mail;
pub mod rights;
pub mod role;
pub mod totp;
