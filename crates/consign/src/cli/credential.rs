//! `consign credential`: where a tool is, and how we are let in. Secrets go in and never come out.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Global;
use super::client::{Call, Client};
use super::failure::Failure;
use super::listing::{PageFlags, cell, show, show_one, show_written, text};
use super::object::{Edited, delete as delete_object, etag, history, put, read_object, save};
use super::output::Output;
use super::secret::{Secrets, from_input};
use super::{context, output};

use approval::{AuthorizeFlags, ForgetFlags};
use connection::TestFlags;
use headers::merged_headers;
use host_keys::ScanFlags;
use type_fields::{RemovedRows, TypeFields, merged_rows};

mod approval;
mod certificate;
mod connection;
mod headers;
mod host_keys;
mod preset;
mod type_fields;

const CREDENTIALS: &str = "credentials";

/// What can be done with credentials.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List credentials
    List(ListFlags),
    /// Show one; its secrets appear as set or not set
    Get {
        /// Name or id
        name: String,
    },
    /// Create one
    Create(Box<CreateFlags>),
    /// Change one; what is not mentioned stays
    #[command(visible_alias = "update")]
    Edit(Box<EditFlags>),
    /// Replace secrets
    SetSecret(SetSecretFlags),
    /// Test the connection: sign in at the tool and change nothing there
    Test(TestFlags),
    /// The last tests of one
    Tests {
        /// Name or id
        name: String,
    },
    /// Read the host keys of a file server, to be compared before one is pinned
    ScanHostKey(ScanFlags),
    /// Have a person approve access in the tool, and wait for it
    Authorize(AuthorizeFlags),
    /// Forget the tokens that were granted
    ForgetTokens(ForgetFlags),
    /// The certificates of a credential that signs assertions
    #[command(subcommand)]
    Certificate(certificate::Verb),
    /// What the assertion would say now, unsigned
    PreviewAssertion {
        /// Name or id
        name: String,
    },
    /// What uses it
    Usage {
        /// Name or id
        name: String,
    },
    /// What was done with one
    History {
        /// Name or id
        name: String,
    },
    /// Delete one
    Delete(DeleteFlags),
    /// The authorization types with their fields
    AuthorizationTypes,
    /// The tools whose usual values are known
    Presets,
}

#[derive(Args)]
pub(crate) struct ListFlags {
    /// Only those whose name, address, client ID or label holds this text
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only those with this status
    #[arg(long)]
    status: Option<String>,
    /// Only those that need a person
    #[arg(long)]
    needs_attention: bool,
    /// Only those of this protocol: https or sftp
    #[arg(long)]
    protocol: Option<String>,
    /// Only those of this type
    #[arg(long, value_name = "TYPE")]
    authorization_type: Option<String>,
    /// What comes first: needs_attention, name, -name, last_used_at or -last_used_at
    #[arg(long, allow_hyphen_values = true)]
    order: Option<String>,
    /// Only those with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Only those that end before this day
    #[arg(long, value_name = "DATE")]
    ends_before: Option<String>,
    /// Only those that are managed from a file under this name
    #[arg(long, value_name = "NAME")]
    managed_by: Option<String>,
    #[command(flatten)]
    page: PageFlags,
}

/// What a credential is made of. Secrets are never arguments.
#[derive(Args)]
pub(crate) struct Fields {
    /// The address of the tool, such as https://acme.service-now.com/
    #[arg(long, value_name = "URL")]
    url_address: Option<String>,
    /// The address of a file server, such as sftp://sftp.example.org:22/
    #[arg(long, value_name = "SFTP-URL", conflicts_with = "url_address")]
    hostname: Option<String>,
    /// A host key of the file server: SHA256 fingerprint or public key line; up to four
    #[arg(long, value_name = "PIN")]
    fingerprint: Vec<String>,
    /// What new host keys were compared with; stored with them
    #[arg(long, value_name = "TEXT")]
    compared_with: Option<String>,
    /// How we are let in; see: consign credential authorization-types
    #[arg(long, value_name = "TYPE")]
    authorization_type: Option<String>,
    #[command(flatten)]
    of_type: TypeFields,
    /// Create the key pair and its certificate on the server
    #[arg(long, conflicts_with = "certificate", help_heading = "Authorization type")]
    generate_key_pair: bool,
    #[command(flatten)]
    pair: certificate::KeyPairFlags,
    /// A header, its value from a file or variable; repeatable
    #[arg(long, value_name = "NAME=@FILE|env:VAR")]
    custom_header: Vec<String>,
    /// Which requests carry the headers of this command [default: both]
    #[arg(long, value_name = "token_request|api_request|both", requires = "custom_header")]
    sent_with: Option<String>,
    /// A path that needs the sign-in and changes nothing: where a test asks
    #[arg(long, value_name = "PATH")]
    test_path: Option<String>,
    /// The day on which it ends
    #[arg(long, value_name = "DATE")]
    ends_on: Option<String>,
    /// A label; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// The most requests at one time, over all connectors
    #[arg(long, value_name = "N")]
    max_concurrency: Option<u32>,
    /// The most requests a second, over all connectors
    #[arg(long, value_name = "N")]
    max_per_second: Option<f64>,
    /// A secret from a file, a variable, standard input or the keyboard; repeatable
    #[arg(long, value_name = "FIELD=@FILE|env:VAR|-|prompt")]
    secret: Vec<String>,
    /// Start from a JSON file with the keys of the API
    #[arg(long, value_name = "FILE")]
    from_file: Option<String>,
}

#[derive(Args)]
pub(crate) struct CreateFlags {
    /// Its name
    #[arg(long)]
    name: Option<String>,
    /// The protocol
    #[arg(long)]
    protocol: Option<String>,
    /// Start from the usual values for a tool; see: consign credential presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Test the connection once it is created; with --json the result is a second line
    #[arg(long)]
    test: bool,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Args)]
pub(crate) struct EditFlags {
    /// Name or id
    name: String,
    #[command(flatten)]
    object: Edited,
    /// Remove a header; repeatable
    #[arg(long, value_name = "NAME")]
    remove_custom_header: Vec<String>,
    #[command(flatten)]
    remove_rows: RemovedRows,
    /// Remove a label; repeatable
    #[arg(long, value_name = "KEY")]
    remove_label: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Args)]
pub(crate) struct SetSecretFlags {
    /// Name or id
    name: String,
    /// The secrets
    #[arg(value_name = "FIELD=@FILE|env:VAR|-|prompt", required_unless_present = "from_stdin")]
    secrets: Vec<String>,
    /// Read FIELD=VALUE lines from standard input, taken as they are
    #[arg(long)]
    from_stdin: bool,
    /// Only while it is unchanged
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

#[derive(Args)]
pub(crate) struct DeleteFlags {
    /// Name or id
    name: String,
    /// Do not ask, when nothing uses it
    #[arg(long)]
    yes: bool,
    /// Do not ask, although connectors use it: their deliveries wait for another one
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Only while it is unchanged
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { name } => show_one(output, &client.send(Call::get(&[CREDENTIALS, &name])).await?)?,
        Verb::Create(flags) => return create(&client, output, *flags).await,
        Verb::Edit(flags) => edit(&client, output, *flags).await?,
        Verb::SetSecret(flags) => set_secret(&client, output, &flags).await?,
        Verb::Test(flags) => return connection::run(&client, output, &flags).await,
        Verb::Tests { name } => connection::list(&client, output, &name).await?,
        Verb::ScanHostKey(flags) => return host_keys::scan(&client, output, flags).await,
        Verb::Authorize(flags) => return approval::authorize(&client, output, &flags).await,
        Verb::ForgetTokens(flags) => approval::forget(&client, output, &flags).await?,
        Verb::Certificate(verb) => certificate::run(&client, output, verb).await?,
        Verb::PreviewAssertion { name } => certificate::preview(&client, output, &name).await?,
        Verb::Usage { name } => {
            let answer = client.send(Call::get(&[CREDENTIALS, &name, "usage"])).await?;
            show(
                output,
                &answer,
                &["kind", "name", "state", "24 hours", "waiting"],
                "Nothing uses it.",
                |row| {
                    ["kind", "name", "state", "deliveries_24h", "waiting"].map(|key| cell(row, key)).to_vec()
                },
            )?;
        }
        Verb::History { name } => history(&client, output, CREDENTIALS, &name).await?,
        Verb::Delete(flags) => delete(&client, output, &flags).await?,
        Verb::AuthorizationTypes => types(&client, output).await?,
        Verb::Presets => preset::list(&client, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let call = Call::get(&[CREDENTIALS])
        .query("q", flags.q.as_deref())
        .query("status", flags.status.as_deref())
        .query("needs_attention", flags.needs_attention.then_some("true"))
        .query("protocol", flags.protocol.as_deref())
        .query("order", flags.order.as_deref())
        .query("authorization_type", flags.authorization_type.as_deref())
        .query("label", flags.label.as_deref())
        .query("ends_before", flags.ends_before.as_deref())
        .query("managed_by", flags.managed_by.as_deref());
    let answer = client.send(flags.page.of(call)).await?;
    let headings = ["name", "authorization", "status", "last used", "used by"];
    show(output, &answer, &headings, "There are no credentials.", |row| {
        vec![
            cell(row, "name"),
            cell(row, "authorization_type_label"),
            cell(row, "status.label"),
            output.when(&row["last_used_at"]),
            cell(row, "used_by_count"),
        ]
    })
}

async fn create(client: &Client<'_>, output: &Output, flags: CreateFlags) -> Result<ExitCode, Failure> {
    let mut secrets = Secrets::new(output);
    let mut body = flags.fields.body(&mut secrets)?;
    put(&mut body, "name", flags.name);
    let usual = if body.contains_key("hostname") { "sftp" } else { "https" };
    let protocol = flags.protocol.or_else(|| (!body.contains_key("protocol")).then(|| usual.to_owned()));
    put(&mut body, "protocol", protocol);
    let rows = flags.fields.header_rows(&mut secrets)?;
    if !rows.is_empty() {
        body.insert("custom_headers".to_owned(), rows.into());
    }
    for (key, rows) in flags.fields.of_type.rows(&mut secrets)? {
        body.insert(key.to_owned(), rows.into());
    }
    if let Some(kind) = &flags.preset {
        preset::fill(client, output, kind, &mut body).await?;
    }
    let answer = client.send(Call::post(&[CREDENTIALS]).json(&Value::Object(body))).await?;
    let written = show_written(output, &answer, "Created", "credential")?;
    let (id, name) = (text(&written, "id"), text(&written, "name"));
    let fingerprint = text(&written, "certificates.present.fingerprint");
    if !fingerprint.is_empty() {
        output.note(&format!("Certificate, to be added in the tool: SHA256 {fingerprint}"));
        output.next(&format!("consign credential certificate get \"{name}\""));
    }
    let redirect_url = text(&written, "redirect_url");
    if !redirect_url.is_empty() {
        output.note(&format!("Redirect URL, to be added in the tool: {redirect_url}"));
    }
    let ended = if flags.test { connection::test(client, output, &id).await } else { Ok(ExitCode::SUCCESS) };
    if text(&written, "status.code") == "not_authorized" {
        output.next(&format!("consign credential authorize \"{name}\""));
    } else if ended.is_ok() && text(&written, "protocol") == "https" {
        output.next(&format!("consign webhook create --credential \"{name}\" …"));
    }
    ended
}

async fn edit(client: &Client<'_>, output: &Output, flags: EditFlags) -> Result<(), Failure> {
    let found = client.send(Call::get(&[CREDENTIALS, &flags.name])).await?;
    let mut secrets = Secrets::new(output);
    let mut patch = flags.fields.body(&mut secrets)?;
    let etag = flags.object.put(&mut patch, &found)?;
    for key in &flags.remove_label {
        nested(&mut patch, "labels").insert(key.clone(), Value::Null);
    }
    let fresh = flags.fields.header_rows(&mut secrets)?;
    if !fresh.is_empty() || !flags.remove_custom_header.is_empty() {
        let present = found.json()?["custom_headers"].as_array().cloned().unwrap_or_default();
        let rows = merged_headers(present, fresh, &flags.remove_custom_header);
        patch.insert("custom_headers".to_owned(), rows.into());
    }
    let mut fresh = flags.fields.of_type.rows(&mut secrets)?;
    let gone =
        |key: &str| flags.remove_rows.named().find(|(of, _)| *of == key).map_or(&[][..], |(_, names)| names);
    let only_gone = flags.remove_rows.named().filter(|(key, _)| fresh.iter().all(|(of, _)| of != key));
    fresh.extend(only_gone.map(|(key, _)| (key, Vec::new())).collect::<Vec<_>>());
    for (key, rows) in fresh {
        let present = found.json()?[key].as_array().cloned().unwrap_or_default();
        patch.insert(key.to_owned(), merged_rows(present, rows, gone(key)).into());
    }
    save(client, output, &[CREDENTIALS, &flags.name], &etag, patch, "credential").await.map(drop)
}

async fn set_secret(client: &Client<'_>, output: &Output, flags: &SetSecretFlags) -> Result<(), Failure> {
    let found = client.send(Call::get(&[CREDENTIALS, &flags.name])).await?;
    let mut etag = etag(flags.if_match.clone(), &found)?;
    let mut secrets = Secrets::new(output);
    let mut given: Vec<(String, Value)> = Vec::new();
    for argument in &flags.secrets {
        let (field, secret) = secrets.field(argument)?;
        given.push((field, secret.expose().into()));
    }
    if flags.from_stdin {
        for line in from_input()?.expose().lines().filter(|line| !line.is_empty()) {
            let pair = line.split_once('=');
            let (field, value) = pair.ok_or_else(|| Failure::usage("Each line is FIELD=VALUE"))?;
            given.push((field.replace('-', "_"), value.into()));
        }
    }
    for (field, value) in given {
        let call = Call::new(Method::PUT, &[CREDENTIALS, &flags.name, "secrets", &field]).if_match(&etag);
        let answer = client.send(call.json(&json!({ "value": value }))).await?;
        if output.form == output::Form::Json {
            output.text(&answer.text());
        }
        output.done(&format!("Replaced {field} of “{}”", flags.name));
        etag = answer.etag.unwrap_or_else(|| "*".to_owned());
    }
    Ok(())
}

async fn delete(client: &Client<'_>, output: &Output, flags: &DeleteFlags) -> Result<(), Failure> {
    let found = client.send(Call::get(&[CREDENTIALS, &flags.name])).await?;
    let etag = etag(flags.if_match.clone(), &found)?;
    let credential = found.json()?;
    let name = text(&credential, "name");
    let usage = client.send(Call::get(&[CREDENTIALS, &flags.name, "usage"])).await?.json()?;
    let users: Vec<String> =
        usage["items"].as_array().into_iter().flatten().map(|user| text(user, "name")).collect();
    let linked = if users.is_empty() {
        output.confirm(
            &format!("Delete credential “{name}”?"),
            flags.yes || flags.confirm.as_deref() == Some(&name),
        )?;
        None
    } else {
        let warning = format!(
            "“{name}” is used by {}. Their deliveries will wait for another credential.",
            users.join(", ")
        );
        output.confirm_name(&warning, &name, flags.confirm.as_deref())?;
        Some("hold")
    };
    let call = Call::new(Method::DELETE, &[CREDENTIALS, &flags.name]).query("linked", linked).if_match(&etag);
    delete_object(client, output, call, &format!("credential “{name}”")).await
}

async fn types(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::get(&["authorization-types"])).await?;
    show(output, &answer, &["type", "label", "fields", "secrets"], "There are none.", |row| {
        let keys = |secret: bool| {
            let fields = row["fields"].as_array().into_iter().flatten();
            let keys = fields
                .filter(|field| field["secret"].as_bool() == Some(secret))
                .map(|field| text(field, "key"));
            keys.collect::<Vec<_>>().join(", ")
        };
        vec![cell(row, "kind"), cell(row, "label"), keys(false), keys(true)]
    })
}

impl Fields {
    /// The keys of the API that these flags give, custom headers apart.
    fn body(&self, secrets: &mut Secrets<'_>) -> Result<Map<String, Value>, Failure> {
        let mut body = self.from_file.as_deref().map(read_object).transpose()?.unwrap_or_default();
        put(&mut body, "url_address", self.url_address.clone());
        put(&mut body, "hostname", self.hostname.clone());
        if !self.fingerprint.is_empty() {
            body.insert("sftp_server_fingerprint".to_owned(), self.fingerprint.clone().into());
        }
        put(&mut body, "host_keys_compared_with", self.compared_with.clone());
        put(&mut body, "authorization_type", self.authorization_type.clone());
        self.of_type.put_plain(&mut body)?;
        if self.generate_key_pair {
            body.insert("key_pair".to_owned(), "generate".into());
            self.pair.put(&mut body);
        }
        if let Some(path) = &self.test_path {
            let value = if path.is_empty() { Value::Null } else { path.as_str().into() };
            body.insert("test_path".to_owned(), value);
        }
        if let Some(day) = &self.ends_on {
            let value = if day.is_empty() { Value::Null } else { day.as_str().into() };
            body.insert("ends_on".to_owned(), value);
        }
        for pair in &self.label {
            let pair = pair.split_once('=').ok_or_else(|| Failure::usage("A label is given as KEY=VALUE"))?;
            nested(&mut body, "labels").insert(pair.0.to_owned(), pair.1.into());
        }
        body.extend(self.max_concurrency.map(|most| ("max_concurrency".to_owned(), most.into())));
        body.extend(self.max_per_second.map(|most| ("max_per_second".to_owned(), most.into())));
        for argument in &self.secret {
            let (field, secret) = secrets.field(argument)?;
            body.insert(field, secret.expose().into());
        }
        Ok(body)
    }

    fn header_rows(&self, secrets: &mut Secrets<'_>) -> Result<Vec<Value>, Failure> {
        let rows = self.custom_header.iter().map(|argument| {
            let (name, value) = secrets.named(argument)?;
            let mut row = json!({ "name": name, "value": value.expose() });
            if let Some(sent_with) = &self.sent_with {
                row["sent_with"] = sent_with.replace('-', "_").into();
            }
            Ok(row)
        });
        rows.collect()
    }
}

fn nested<'a>(body: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = body.entry(key.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was just made an object")
}

#[cfg(test)]
mod tests;
