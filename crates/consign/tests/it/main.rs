//! The whole product: through API, console, command line and the tools it sends to, and in no other way.
//!
//! Real peers are told by `cargo xtask test`. Every test ends with [`harness::TestConsign::finish`], which looks for
//! planted secrets everywhere and for deliveries that were left behind.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test: what is not there fails it")]

mod harness;
mod peers;

/// Each of these functions takes a `TestConsign` and is a test on SQLite and one on PostgreSQL.
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* $name:ident)*) => {
        mod sqlite {
            $(
                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::harness::TestConsign::start().await).await;
                }
            )*
        }
        mod postgresql {
            $(
                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::harness::TestConsign::on_postgres().await).await;
                }
            )*
        }
    };
}

mod account;
mod actions;
mod addresses;
mod api;
mod apply;
mod approvals;
mod assertions;
mod audit_log;
mod authorization_server;
mod backup_checks;
mod backups;
mod browser;
mod cli;
mod cli_oauth;
mod client_certificates;
mod connection_tests;
mod connector_forms;
mod console;
mod copied;
mod credentials;
mod delivery_settings;
mod demo;
mod egress_exceptions;
mod encryption;
mod encryption_order;
mod error_pages;
mod events;
mod every_page;
mod exporter_attention;
mod exporter_decisions;
mod exporter_edits;
mod exporter_ends;
mod exporter_faults;
mod exporter_host_keys;
mod exporter_many_files;
mod exporter_pages;
mod exporter_schedules;
mod exporter_server_faults;
mod exporter_servers;
mod exporter_sizes;
mod exporter_turns;
mod exporter_uploads;
mod exporter_walk;
mod exporters;
mod first_requests;
mod forged;
mod forms;
mod gateway_bodies;
mod gateway_calls;
mod gateway_limits;
mod gateway_pages;
mod gateway_setup;
mod gateway_streams;
mod gateway_try;
mod grants;
mod holds;
mod idempotency;
mod key_addresses;
mod keyboard;
mod killed_renewals;
mod live_list;
mod looks;
mod lost_credentials;
mod mail;
mod main_job;
mod managed;
mod manual;
mod measured;
mod narrow_lists;
mod next_steps;
mod notices;
mod oauth;
mod oauth_forms;
mod offers;
mod operate;
mod outcomes;
mod outgoing_addresses;
mod payloads;
mod people;
mod presets;
mod proxy;
mod public_url;
mod reminders;
mod repairs;
mod replays;
mod replicas;
mod rights;
mod rollback;
mod saml;
mod saml_pairs;
mod saml_surfaces;
mod screenshots;
mod seed;
mod sending;
mod session_cookies;
mod settings;
mod settings_conflicts;
mod sftp;
mod sftp_pages;
mod sign_in;
mod sign_in_crossings;
mod sign_in_settings;
mod signatures;
mod starting;
mod support;
mod throttling;
mod token_crossings;
mod token_echoes;
mod token_endpoint;
mod token_flights;
mod token_repairs;
mod token_replies;
mod token_waits;
mod tours;
mod troubles;
mod two_step;
mod untouched_secrets;
mod verbs;
mod weight;
mod wire;
