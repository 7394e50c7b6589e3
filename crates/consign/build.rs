//! Records the commit that is built: `CONSIGN_COMMIT`, where it is given, else what git's files say. Without either the
//! program says that it was not recorded.

#![expect(clippy::disallowed_methods, reason = "a build script is told by its environment")]

use std::path::Path;

#[path = "build/commit.rs"]
mod commit;

fn main() {
    println!("cargo:rerun-if-env-changed=CONSIGN_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/commit.rs");
    let given = std::env::var("CONSIGN_COMMIT").ok().filter(|given| !given.trim().is_empty());
    // A developer's build would be done anew after each commit, for nothing.
    let released = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if given.is_some() || !released {
        return;
    }
    let Ok(manifest) = std::env::var("CARGO_MANIFEST_DIR") else { return };
    let Some(found) = commit::of(Path::new(&manifest)) else { return };
    for file in &found.read {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    println!("cargo:rustc-env=CONSIGN_COMMIT={}", found.commit);
}
