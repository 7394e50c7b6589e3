//! The command line. `serve` and `demo` are the product; the nouns are a client of its API; `key`, `config`
//! and `admin` work on this machine's files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use failure::{Code, Failure};
use output::Output;

mod about;
mod account;
mod admin;
mod api_key;
mod apply;
mod audit;
mod backup;
mod client;
mod config;
mod connector;
mod context;
mod credential;
mod delivery;
mod demo;
mod event;
mod exporter;
mod failure;
mod gateway;
mod healthcheck;
mod key;
mod listing;
mod notification;
mod object;
mod operation;
mod output;
mod overview;
mod replica;
mod secret;
mod serve;
mod session;
mod settings;
mod support;
mod upload;
mod user;
mod webhook;

/// What was typed.
#[derive(Parser)]
#[command(
    name = "consign",
    version,
    about = "Keeps the credentials of your connectors, and does the sending itself.",
    after_help = "Environment: CONSIGN_SERVER, CONSIGN_TOKEN, CONSIGN_TOKEN_FILE, CONSIGN_CONTEXT, NO_COLOR",
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Args, Default)]
pub(crate) struct Global {
    /// The server to talk to
    #[arg(long, global = true, value_name = "URL", help_heading = "Global")]
    server: Option<String>,
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global")]
    context: Option<String>,
    /// Print the answer of the API, unchanged
    #[arg(long, global = true, conflicts_with = "plain", help_heading = "Global")]
    json: bool,
    /// Print tab-separated values
    #[arg(long, global = true, help_heading = "Global")]
    plain: bool,
    /// Print no headings
    #[arg(long, global = true, help_heading = "Global")]
    no_header: bool,
    /// Print no messages
    #[arg(short, long, global = true, help_heading = "Global")]
    quiet: bool,
    /// Tell each request with its id
    #[arg(short, long, global = true, help_heading = "Global")]
    verbose: bool,
    /// Never ask
    #[arg(long, global = true, help_heading = "Global")]
    no_input: bool,
    /// No colour
    #[arg(long, global = true, help_heading = "Global")]
    no_color: bool,
    /// Print times as they are, not how long ago they were
    #[arg(long, global = true, help_heading = "Global")]
    absolute_time: bool,
    /// How long an answer may take, such as 30s or 2m
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = "Global")]
    timeout: Option<Duration>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Run a throw-away server on this machine with a stand-in tool, and watch deliveries arrive
    Demo {
        /// The port of the console
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
        /// End when everything was delivered
        #[arg(long)]
        once: bool,
    },
    /// Sign in to a server with an API key
    Login(session::Login),
    /// Forget the token of a server
    Logout,
    /// Who you are, and what you may do
    Whoami,
    /// Servers you are signed in to
    #[command(subcommand)]
    Context(session::ContextVerb),
    /// How it goes, and what needs a person
    Overview,
    /// Credentials: where a tool is, and how we are let in
    #[command(subcommand)]
    Credential(credential::Verb),
    /// Connectors of every kind
    #[command(subcommand)]
    Connector(connector::Verb),
    /// Webhooks: one request per event
    #[command(subcommand)]
    Webhook(webhook::Verb),
    /// Exporters: many records at once, on a schedule or on demand
    #[command(subcommand)]
    Exporter(exporter::Verb),
    /// Gateways: applications call a tool without knowing its secret
    #[command(subcommand)]
    Gateway(gateway::Verb),
    /// Events: what happened
    #[command(subcommand)]
    Event(event::Verb),
    /// Deliveries: what was sent, and what came back
    #[command(subcommand)]
    Delivery(delivery::Verb),
    /// Work that takes a while: how it stands
    #[command(subcommand)]
    Operation(operation::Verb),
    /// Make credentials, webhooks, exporters and gateways what files say
    Apply(apply::Apply),
    /// API keys of programs
    #[command(subcommand)]
    ApiKey(api_key::Verb),
    /// The audit log: who did what, when and from where
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Backups: copies of the database while everything goes on
    #[command(subcommand)]
    Backup(backup::Verb),
    /// What runs at the server: version, commit, database, and what it is built of
    About(about::About),
    /// Your own account: password, time zone and theme
    #[command(subcommand)]
    Account(account::Verb),
    /// People and their roles
    #[command(subcommand)]
    User(user::Verb),
    /// What can be set while the server runs, and what its egress rules allow
    #[command(subcommand)]
    Settings(settings::Verb),
    /// The servers that share the database
    #[command(subcommand)]
    Replica(replica::Verb),
    /// What somebody who helps needs to know, without names, addresses or secrets
    SupportBundle(support::Support),
    /// Who is told what needs a person
    #[command(subcommand)]
    Notification(notification::Verb),
    /// The encryption key ring of this machine
    #[command(subcommand)]
    Key(key::Verb),
    /// The options of the server on this machine
    #[command(subcommand)]
    Config(config::Verb),
    /// The data folder of this machine, while the server is stopped
    #[command(subcommand)]
    Admin(admin::Verb),
    /// Whether a server is ready: for containers without curl
    Healthcheck(healthcheck::Healthcheck),
    /// Print what makes a shell complete commands and options
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The version of this program
    Version,
}

/// Which configuration a command on this machine reads.
#[derive(Args)]
pub(crate) struct ConfigFile {
    /// The configuration file [default: /etc/consign/consign.toml, else ./consign.toml]
    #[arg(long = "config", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> Result<crate::config::Loaded, Failure> {
        crate::config::load(self.path.as_deref())
            .map_err(|error| Failure::caused(Code::Failed, "The configuration cannot be used", &error))
    }
}

/// Parses the arguments of this process, runs the command, and tells why it failed.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no failures: the code is 0 for them.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8));
        }
    };
    let output = Output::new(&arguments.global);
    match dispatch(arguments, &output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            failure.code.into()
        }
    }
}

fn dispatch(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Serve(arguments) => {
            let config = arguments.load()?;
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            if config.is_sqlite() {
                builder.worker_threads(cores_beside_the_database());
            }
            run_on(builder, serve::run(arguments, config, output))
        }
        Command::Demo { port, once } => on_all_cores(async { Ok(demo::run(output, port, once).await?) }),
        Command::Login(arguments) => on_one_core(session::login(arguments, &global, output)),
        Command::Logout => session::logout(&global, output),
        Command::Whoami => on_one_core(session::whoami(&global, output)),
        Command::Context(verb) => session::context(verb, output),
        Command::Overview => on_one_core(overview::run(&global, output)),
        Command::Credential(verb) => on_one_core(credential::run(verb, &global, output)),
        Command::Connector(verb) => on_one_core(connector::run(verb, &global, output)),
        Command::Webhook(verb) => on_one_core(webhook::run(verb, &global, output)),
        Command::Exporter(verb) => on_one_core(exporter::run(verb, &global, output)),
        Command::Gateway(verb) => on_one_core(gateway::run(verb, &global, output)),
        Command::Event(verb) => on_one_core(event::run(verb, &global, output)),
        Command::Delivery(verb) => on_one_core(delivery::run(verb, &global, output)),
        Command::Operation(verb) => on_one_core(operation::run(verb, &global, output)),
        Command::Apply(flags) => on_one_core(apply::run(flags, &global, output)),
        Command::ApiKey(verb) => on_one_core(api_key::run(verb, &global, output)),
        Command::Audit(verb) => on_one_core(audit::run(verb, &global, output)),
        Command::Backup(verb) => on_all_cores(backup::run(verb, &global, output)),
        Command::About(flags) => on_one_core(about::run(flags, &global, output)),
        Command::Account(verb) => on_one_core(account::run(verb, &global, output)),
        Command::User(verb) => on_one_core(user::run(verb, &global, output)),
        Command::Settings(verb) => on_one_core(settings::run(verb, &global, output)),
        Command::Replica(verb) => on_one_core(replica::run(verb, &global, output)),
        Command::SupportBundle(flags) => on_one_core(support::run(flags, &global, output)),
        Command::Notification(verb) => on_one_core(notification::run(verb, &global, output)),
        Command::Key(verb) => on_one_core(key::run(verb, &global, output)),
        Command::Config(verb) => config::run(verb, output),
        Command::Admin(verb) => on_all_cores(admin::run(verb, output)),
        Command::Healthcheck(arguments) => on_one_core(healthcheck::run(arguments, &global, output)),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "consign", &mut script);
            output.line(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            match output.form {
                output::Form::Json => output.line(&serde_json::json!({ "version": version }).to_string()),
                output::Form::People | output::Form::Plain => output.line(&format!("consign {version}")),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn on_all_cores(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    run_on(tokio::runtime::Builder::new_multi_thread(), work)
}

/// On SQLite group commit keeps a core busy by itself: one thread more would only make the others wait for each
/// other.
fn cores_beside_the_database() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

fn on_one_core(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    run_on(tokio::runtime::Builder::new_current_thread(), work)
}

fn run_on(
    mut builder: tokio::runtime::Builder,
    work: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let runtime = builder.enable_all().build();
    runtime
        .map_err(|error| Failure::caused(Code::Failed, "No threads could be started", &error))?
        .block_on(work)
}

/// `30`, `30s`, `2m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "such as 30s, 2m or 1h".to_owned();
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, "s"),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "h" => number.checked_mul(3_600),
        "m" => number.checked_mul(60),
        _ => Some(number),
    };
    seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Whether these are arguments of this program; the message of clap when not.
#[cfg(test)]
pub(crate) fn knows(arguments: &[String]) -> Result<(), String> {
    let words = std::iter::once("consign").chain(arguments.iter().map(String::as_str));
    Arguments::try_parse_from(words).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
