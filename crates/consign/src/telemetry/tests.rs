use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn written(look: Look, log: impl Fn()) -> String {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt().with_writer(written.clone()).event_format(Line(look)).finish();
    tracing::subscriber::with_default(subscriber, log);
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_line_for_programs_is_one_object() {
    let line = written(
        Look::Json,
        || tracing::info!(target: "consign", delivery_id = "dlv_1", attempt = 2, "delivered"),
    );
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["ts", "level", "msg", "target", "delivery_id", "attempt"]);
    assert_eq!((object["msg"].as_str(), object["attempt"].as_u64()), (Some("delivered"), Some(2)));
}

#[test]
fn a_line_for_people_stays_one_line() {
    let line = written(Look::Text, || {
        tracing::warn!(target: "consign", name = "two words", forged = "a\nINFO", "what\nhappened");
    });
    assert!(line.ends_with("WARN  what\\nhappened name=\"two words\" forged=\"a\\nINFO\"\n"), "{line}");
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn errors_bring_their_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("inner"));
    let line = written(Look::Json, || tracing::error!(error = &error as &dyn std::error::Error, "failed"));
    assert!(line.contains("\"error\":\"outer: inner\""), "{line}");
}

#[test]
fn every_metric_has_a_help_text_and_every_histogram_buckets() {
    metrics();
    metrics::histogram!(DELIVERY_LAG).record(0.02);
    metrics::counter!(SIGN_INS, "outcome" => "done").increment(1);
    let id: CredentialId = "crd_01JDRZ8Y8Z5X0V6W7T3S2R1Q0P".parse().unwrap();
    let exporter: ConnectorId = "con_01JDRZ8Y8Z5X0V6W7T3S2R1Q0P".parse().unwrap();
    let stored =
        Stored { credential_ends: vec![(id, -5)], exporter_successes: vec![(exporter, 1_795_356_120)] };
    let text = render(&stored);
    assert!(text.contains("# HELP consign_signin_total Tries to sign in to the console"), "{text}");
    let ends = format!(
        "# TYPE consign_credential_seconds_until_end gauge\nconsign_credential_seconds_until_end{{credential=\"{id}\"}} -5\n"
    );
    assert!(text.ends_with(&ends), "{text}");
    let done =
        format!("consign_exporter_last_success_timestamp_seconds{{exporter=\"{exporter}\"}} 1795356120\n");
    assert!(text.contains(&done), "{text}");
    let none = render(&Stored::default());
    assert!(!none.contains("seconds_until_end"), "a deleted credential leaves nothing");
    assert!(!none.contains("last_success"), "and neither does a deleted exporter");
    assert!(text.contains("consign_delivery_lag_seconds_bucket{le=\"0.025\"}"), "{text}");
    for (name, _) in HISTOGRAMS {
        assert!(BUCKETS.iter().any(|(other, _)| other == name), "{name}");
    }
}
