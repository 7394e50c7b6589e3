//! `consign apply`: what files say there is. Every document is read and judged before the first one is sent.

use std::process::ExitCode;

use clap::Args;
use consign_core::field_manager::FieldManager;
use http::Method;
use serde_json::{Value, json};

use super::Global;
use super::client::{Call, Client};
use super::context;
use super::failure::{Code, Failure};
use super::object::etag;
use super::output::{Form, Output, clean};

use document::{Document, Kind};

mod document;
mod values;

/// Says whose file an object is.
const MANAGED_BY: &str = "managed_by";

#[derive(Args)]
pub(crate) struct Apply {
    /// A file with YAML documents or a JSON object, a folder of such files, or - for standard input; repeatable
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    file: Vec<String>,
    /// The name under which the objects are managed
    #[arg(long, value_name = "NAME", default_value = "consign-apply", value_parser = manager)]
    field_manager: FieldManager,
    /// Take over what is managed under another name
    #[arg(long)]
    force: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Accept secrets that stand in the files themselves
    #[arg(long)]
    allow_inline_secrets: bool,
}

fn manager(text: &str) -> Result<FieldManager, String> {
    FieldManager::parse(text).map_err(|fault| fault.message)
}

/// What came of a document.
enum Outcome {
    Created,
    /// With the keys that are another now.
    Changed(Vec<String>),
    Unchanged,
    Failed(Failure),
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed(_) => "changed",
            Self::Unchanged => "unchanged",
            Self::Failed(_) => "failed",
        }
    }

    const fn sign(&self) -> &'static str {
        match self {
            Self::Created => "+",
            Self::Changed(_) => "~",
            Self::Unchanged => "=",
            Self::Failed(_) => "✕",
        }
    }

    /// What else there is to say of it.
    fn detail(&self) -> String {
        match self {
            Self::Created | Self::Unchanged => String::new(),
            Self::Changed(keys) => keys.join(", "),
            Self::Failed(failure) => {
                failure.lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" · ")
            }
        }
    }
}

/// Applies the documents, credentials first: the others name them.
pub(crate) async fn run(flags: Apply, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let mut documents = document::read(&flags.file, flags.allow_inline_secrets, output.now)?;
    documents.sort_by_key(|document| document.kind != Kind::Credential);
    let client = context::client(global, output)?;
    let mut outcomes: Vec<(Document, Outcome)> = Vec::new();
    let all = documents.len();
    for document in documents {
        let outcome = apply(&client, &flags, &document, &outcomes).await.unwrap_or_else(Outcome::Failed);
        tell(output, &document, &outcome);
        let ends = matches!(&outcome, Outcome::Failed(failure) if failure.ends_all());
        outcomes.push((document, outcome));
        if ends {
            break;
        }
    }
    let sum = Sum { not_tried: all - outcomes.len(), ..Sum::of(outcomes.iter().map(|(_, outcome)| outcome)) };
    output.note(&sum.words(flags.dry_run));
    Ok(sum.code(flags.dry_run).map_or(ExitCode::SUCCESS, ExitCode::from))
}

impl Failure {
    /// The next documents would not get any further.
    fn ends_all(&self) -> bool {
        matches!(self.code, Code::Unreachable | Code::SignIn)
    }
}

async fn apply(
    client: &Client<'_>,
    flags: &Apply,
    document: &Document,
    before: &[(Document, Outcome)],
) -> Result<Outcome, Failure> {
    let place = [document.kind.path(), document.name.as_str()];
    let found = match client.send(Call::get(&place)).await {
        Ok(found) => Some(found),
        Err(failure) if failure.code == Code::NotFound => None,
        Err(failure) => return Err(failure),
    };
    if let Some(found) = &found {
        judge_name(document, &found.json()?)?;
    }
    // Nobody can judge what names a credential that is not there yet.
    if flags.dry_run && before.iter().any(|(other, outcome)| document.waits_for(other, outcome)) {
        return Ok(match found {
            Some(_) => Outcome::Changed(vec!["credential".to_owned()]),
            None => Outcome::Created,
        });
    }
    let call = match &found {
        Some(found) => Call::new(Method::PUT, &place).if_match(&etag(None, found)?),
        None => Call::post(&[document.kind.path()]),
    };
    let call = call
        .query("field_manager", Some(flags.field_manager.as_str()))
        .query("force", flags.force.then_some("true"))
        .query("dry_run", flags.dry_run.then_some("true"));
    let answer = match client.send(call.json(&Value::Object(document.body.clone()))).await {
        Ok(answer) => answer,
        // The name was free when it was looked for. Connectors of other kinds have names of the same list.
        Err(failure) if found.is_none() && is_taken(&failure) => {
            let there_now = client.send(Call::get(&place)).await.is_ok();
            return Err(if there_now { late(failure) } else { failure });
        }
        Err(failure) => return Err(failure),
    };
    let now = answer.json()?;
    if !flags.dry_run {
        say_what_is_left(client.output, &document.name, &now);
    }
    Ok(match found {
        None => Outcome::Created,
        Some(found) if found.etag == answer.etag => Outcome::Unchanged,
        Some(found) => Outcome::Changed(changed(document.kind, &found.json()?, &now)),
    })
}

/// Whether another object has the name, and nothing else is wrong.
fn is_taken(failure: &Failure) -> bool {
    let errors = failure.problem.as_ref().and_then(|problem| problem["errors"].as_array());
    let of_name = |error: &Value| error["code"] == "not_unique" && error["pointer"] == "/name";
    errors.is_some_and(|errors| matches!(errors.as_slice(), [one] if of_name(one)))
}

/// Somebody else creates the same object at this moment.
fn late(failure: Failure) -> Failure {
    Failure { code: Code::Changed, ..failure }.and("Somebody created it at this moment. Apply again")
}

/// What only a person can do. A signing secret that was made is shown to nobody: what applies files keeps its output.
fn say_what_is_left(output: &Output, name: &str, now: &Value) {
    if now["signing_secret"].is_string() {
        output.note(&format!(
            "For a signing secret to enter elsewhere: consign webhook change-signing-key \"{name}\""
        ));
    }
    if now["status"]["code"] == "not_authorized" {
        output.next(&format!("consign credential authorize \"{name}\""));
    }
}

/// What was found has the name of the document, and not an id that looks like it.
fn judge_name(document: &Document, found: &Value) -> Result<(), Failure> {
    let found = found["name"].as_str().unwrap_or_default();
    if found.to_lowercase() == document.name.to_lowercase() {
        return Ok(());
    }
    let sentence = format!("metadata.name is the id of “{found}”. Choose a name that is no id");
    Err(Failure { code: Code::NotAccepted, lines: vec![sentence], problem: None })
}

impl Document {
    /// Whether it names a credential that is only going to be created.
    fn waits_for(&self, other: &Self, outcome: &Outcome) -> bool {
        let named = self.body.get("credential").and_then(Value::as_str).map(str::trim);
        let is_named = named.is_some_and(|named| named.to_lowercase() == other.name.to_lowercase());
        self.kind != Kind::Credential
            && other.kind == Kind::Credential
            && is_named
            && matches!(outcome, Outcome::Created)
    }
}

/// The keys whose values differ. Another status of the same credential is no difference.
fn changed(kind: Kind, before: &Value, after: &Value) -> Vec<String> {
    let compared = |value: &Value| value.get("id").unwrap_or(value).clone();
    let keys = after.as_object().into_iter().flat_map(|after| after.keys());
    let told = keys.filter(|key| *key == MANAGED_BY || !kind.is_read_only(key));
    told.filter(|key| compared(&before[key.as_str()]) != compared(&after[key.as_str()])).cloned().collect()
}

fn tell(output: &Output, document: &Document, outcome: &Outcome) {
    let (kind, name, word, detail) = (document.kind.word(), &document.name, outcome.word(), outcome.detail());
    match output.form {
        Form::Json => {
            let mut line = json!({ "kind": kind, "name": name, "result": word });
            match outcome {
                Outcome::Created | Outcome::Unchanged => {}
                Outcome::Changed(keys) => line["changed"] = json!(keys),
                Outcome::Failed(failure) => {
                    line["error"] = json!(detail);
                    line["problem"] = json!(failure.problem);
                }
            }
            output.line(&line.to_string());
        }
        Form::Plain => output.line(&[kind, name, word, &detail].map(clean).join("\t")),
        Form::People => {
            let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
            output.line(&clean(&format!("{} {kind:<10}  {name}  {word}{detail}", outcome.sign())));
        }
    }
}

/// What came of all documents.
#[derive(Default)]
struct Sum {
    created: usize,
    changed: usize,
    unchanged: usize,
    failed: Vec<Code>,
    /// The server was lost, or the sign-in ended, before their turn.
    not_tried: usize,
}

impl Sum {
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut sum = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Created => sum.created += 1,
                Outcome::Changed(_) => sum.changed += 1,
                Outcome::Unchanged => sum.unchanged += 1,
                Outcome::Failed(failure) => sum.failed.push(failure.code),
            }
        }
        sum
    }

    fn words(&self, dry_run: bool) -> String {
        let Self { created, changed, unchanged, failed, not_tried } = self;
        let (create, change) = if dry_run { ("to create", "to change") } else { ("created", "changed") };
        let refused = if failed.is_empty() { String::new() } else { format!(", {} failed", failed.len()) };
        let left = if *not_tried == 0 { String::new() } else { format!(", {not_tried} not tried") };
        format!("{created} {create}, {changed} {change}, {unchanged} unchanged{refused}{left}.")
    }

    /// The exit code; `None` when everything is as the files say.
    fn code(&self, dry_run: bool) -> Option<Code> {
        let gone_through = self.created + self.changed + self.unchanged;
        match self.failed.as_slice() {
            [] => (dry_run && self.created + self.changed > 0).then_some(Code::Pending),
            _ if gone_through > 0 => Some(Code::Partly),
            [first, rest @ ..] if rest.iter().all(|code| code == first) => Some(*first),
            _ => Some(Code::Failed),
        }
    }
}

#[cfg(test)]
mod tests;
