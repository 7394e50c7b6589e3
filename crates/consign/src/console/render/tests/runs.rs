//! What the steps of a run say while it goes on.

use super::samples::*;
use super::*;

#[test]
fn steps_say_what_is_known_so_far() {
    let page = |of: serde_json::Value| check("run.html", json!({ "current": of }));
    let mut under_way = run("running", json!(null));
    assert!(!page(under_way.clone()).contains(" · about "), "it waited meanwhile: there is no pace");
    under_way["attempts"] = json!(0);
    let shown = page(under_way.clone());
    assert!(shown.contains("48.2 MB · 2.3 MB a second · about 1 h 48 min left"), "{shown}");
    let steps = |upload: &str| {
        json!([
            { "step": "collect", "label": "Collect", "state": "done" },
            { "step": "write", "label": "Write", "state": "done" },
            { "step": "upload", "label": "Upload", "state": upload },
        ])
    };
    under_way["destination"] = json!("sftp");
    under_way["file_name"] = json!("list.csv");
    under_way["steps"] = steps("running");
    let shown = page(under_way.clone());
    let name = "<span class=\"fact\"><span class=\"mono\">list.csv</span>";
    assert!(shown.contains(&format!("{name}</span>")), "its size is not known yet: {shown}");
    assert!(shown.contains("48.2 MB · 2.3 MB a second") && !shown.contains(" · about "), "{shown}");
    under_way["steps"] = steps("done");
    let shown = page(under_way.clone());
    assert!(shown.contains(&format!("{name} · 48.2 MB</span>")), "{shown}");
    under_way["steps"] = steps("running");
    under_way["file"] = json!({ "bytes": 96_400_000, "content_type": "text/csv", "sha256": "ab" });
    let shown = page(under_way);
    assert!(shown.contains(&format!("{name} · 96.4 MB</span>")), "{shown}");
    assert!(shown.contains("48.2 MB of 96.4 MB · 2.3 MB a second · about 21.0 s left"), "{shown}");
}
