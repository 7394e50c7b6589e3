//! `cargo xtask screenshots`: every page in both themes, as pictures. All of them stay under `target/`; those that README
//! and docs show go to `docs/images`.

use std::path::Path;

use crate::peers::Peers;
use crate::{cargo, root, succeeds, target_folder};

const IMAGES: &str = "docs/images";
const TEST: &str = "screenshots::every_page_is_pictured_in_light_and_dark";

/// Takes the pictures.
pub(crate) fn run() -> Result<(), String> {
    let root = root();
    let peers = Peers::find()?;
    let folder = target_folder(&root).join("screenshots");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| format!("cannot empty {}: {e}", folder.display()))?;
    }
    let mut command = cargo();
    command.args([
        "test",
        "--quiet",
        "--locked",
        "--package",
        "consign",
        "--test",
        "it",
        "--",
        "--exact",
        TEST,
    ]);
    peers.tell(&mut command);
    command.env("CONSIGN_SCREENSHOTS", &folder);
    if !succeeds(&mut command)? {
        return Err("the pictures could not be taken; see above".to_owned());
    }
    let shown = refresh(&folder, &root.join(IMAGES))?;
    println!("screenshots: all in {}, {shown} of them in {IMAGES}", folder.display());
    Ok(())
}

/// Replaces each picture that is shown by the one that was just taken.
fn refresh(from: &Path, to: &Path) -> Result<usize, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", to.display());
    let mut count = 0;
    for file in std::fs::read_dir(to).map_err(failed)? {
        let name = file.map_err(failed)?.file_name();
        let taken = from.join(&name);
        if Path::new(&name).extension().is_none_or(|extension| extension != "webp") {
            continue;
        }
        if !taken.exists() {
            return Err(format!("{IMAGES}/{} is of no page any more", name.display()));
        }
        std::fs::copy(&taken, to.join(&name)).map_err(failed)?;
        count += 1;
    }
    Ok(count)
}
