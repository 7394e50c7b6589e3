//! `consign healthcheck`: whether a server is ready, for images without another HTTP client.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::client::{Call, Server};
use super::failure::Failure;
use super::output::Output;
use super::{ConfigFile, Global, context};

/// Whoever runs health checks has less patience than a person.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Which server.
#[derive(Args)]
pub(crate) struct Healthcheck {
    /// The address of a server, or auto for the one of this machine's configuration
    #[arg(value_name = "URL|auto", default_value = "auto")]
    address: String,
    #[command(flatten)]
    config: ConfigFile,
}

/// Asks `/readyz`.
pub(crate) async fn run(
    arguments: Healthcheck,
    global: &Global,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let server = if arguments.address == "auto" {
        own(&arguments.config)?
    } else {
        Server::parse(&arguments.address)?
    };
    let mut client = context::anonymous(server, global, output);
    client.time_max = global.timeout.unwrap_or(TIME_MAX);
    client.send(Call::outside("/readyz?verbose")).await?;
    output.done("ready");
    Ok(ExitCode::SUCCESS)
}

/// Where the server of this machine answers without TLS, if it does.
fn own(file: &ConfigFile) -> Result<Server, Failure> {
    let config = file.load()?.config;
    let mut address = config.server.metrics_listen.unwrap_or(config.server.listen);
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let secure = config.server.metrics_listen.is_none() && config.server.tls_cert_file.is_some();
    Server::parse(&format!("{}://{address}", if secure { "https" } else { "http" }))
}
