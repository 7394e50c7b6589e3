//! `consign credential certificate`: the certificate for the tool, the next one, and the switch between them.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::super::client::{Answer, Call, Client};
use super::super::failure::Failure;
use super::super::listing::text;
use super::super::object::etag;
use super::super::output::{Form, Output};
use super::super::secret::Secrets;
use super::CREDENTIALS;
use super::type_fields::certificate;

/// What can be done with the certificates of a credential.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Print a certificate, as PEM
    Get {
        /// Name or id
        name: String,
        /// Which one [default: present]
        #[arg(long, value_name = "present|next|previous")]
        which: Option<String>,
    },
    /// Put a second key pair next to the one that signs
    CreateNext(NextFlags),
    /// Let the next one sign
    UseNext(SwitchFlags),
    /// Destroy the one that waits
    DropNext(SwitchFlags),
    /// Go back to the one before, for seven days after the switch
    UsePrevious(SwitchFlags),
}

/// A key pair that is created.
#[derive(Args)]
pub(crate) struct KeyPairFlags {
    /// How long a key that is created is [default: 3072]
    #[arg(long, value_name = "3072|2048", help_heading = "Authorization type")]
    key_pair_bits: Option<u16>,
    /// How many years its certificate lives, 1 to 10 [default: 3]
    #[arg(long, value_name = "N", help_heading = "Authorization type")]
    key_pair_years: Option<u8>,
}

impl KeyPairFlags {
    pub(super) fn put(&self, body: &mut Map<String, Value>) {
        body.extend(self.key_pair_bits.map(|bits| ("key_pair_bits".to_owned(), bits.into())));
        body.extend(self.key_pair_years.map(|years| ("key_pair_years".to_owned(), years.into())));
    }
}

#[derive(Args)]
pub(crate) struct NextFlags {
    /// Name or id
    name: String,
    #[command(flatten)]
    pair: KeyPairFlags,
    /// A certificate of your own, instead of one that is created
    #[arg(long, value_name = "@FILE", conflicts_with_all = ["key_pair_bits", "key_pair_years"])]
    certificate: Option<String>,
    /// Its private key, and the passphrase of the key if it has one
    #[arg(long, value_name = "private_key=@FILE|private_key_passphrase=prompt", requires = "certificate")]
    secret: Vec<String>,
    /// Only while it is unchanged
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

#[derive(Args)]
pub(crate) struct SwitchFlags {
    /// Name or id
    name: String,
    /// Only while it is unchanged
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

/// Runs one verb.
pub(super) async fn run(client: &Client<'_>, output: &Output, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Get { name, which } => {
            let call = Call::get(&[CREDENTIALS, &name, "certificate"]).query("which", which.as_deref());
            output.text(client.send(call).await?.text().trim_end());
            Ok(())
        }
        Verb::CreateNext(flags) => create_next(client, output, flags).await,
        Verb::UseNext(flags) => {
            switch(client, output, flags, (Method::POST, "next"), "The next certificate signs from now on")
                .await
        }
        Verb::DropNext(flags) => {
            switch(client, output, flags, (Method::DELETE, "next"), "The next certificate is destroyed").await
        }
        Verb::UsePrevious(flags) => {
            switch(client, output, flags, (Method::POST, "previous"), "The certificate before signs again")
                .await
        }
    }
}

async fn create_next(client: &Client<'_>, output: &Output, flags: NextFlags) -> Result<(), Failure> {
    let etag = tag(client, flags.if_match, &flags.name).await?;
    let mut body = Map::new();
    flags.pair.put(&mut body);
    if let Some(argument) = &flags.certificate {
        body.insert("certificate".to_owned(), certificate(argument, "certificate")?.into());
    }
    let mut secrets = Secrets::new(output);
    for argument in &flags.secret {
        let (field, secret) = secrets.field(argument)?;
        body.insert(field, secret.expose().into());
    }
    let call =
        Call::post(&[CREDENTIALS, &flags.name, "certificate"]).json(&Value::Object(body)).if_match(&etag);
    let answer = client.send(call).await?;
    said(output, &answer, "The next certificate waits", "certificates.next.fingerprint")?;
    output.next(&format!("consign credential certificate get \"{}\" --which next", flags.name));
    output.next(&format!("consign credential certificate use-next \"{}\"", flags.name));
    Ok(())
}

async fn switch(
    client: &Client<'_>,
    output: &Output,
    flags: SwitchFlags,
    (method, place): (Method, &str),
    done: &str,
) -> Result<(), Failure> {
    let etag = tag(client, flags.if_match, &flags.name).await?;
    let call = Call::new(method, &[CREDENTIALS, &flags.name, "certificate", place]).if_match(&etag);
    let answer = client.send(call).await?;
    said(output, &answer, done, "certificates.present.fingerprint")
}

/// What the assertion would say now.
pub(super) async fn preview(client: &Client<'_>, output: &Output, name: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[CREDENTIALS, name, "assertion-preview"])).await?;
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain | Form::People => output.text(&text(&answer.json()?, "assertion")),
    }
    Ok(())
}

/// Says what a tool must know now.
fn said(output: &Output, answer: &Answer, done: &str, fingerprint: &str) -> Result<(), Failure> {
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    output.done(&format!("{done}: SHA256 {}", text(&answer.json()?, fingerprint)));
    Ok(())
}

async fn tag(client: &Client<'_>, asked: Option<String>, name: &str) -> Result<String, Failure> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    etag(None, &client.send(Call::get(&[CREDENTIALS, name])).await?)
}
