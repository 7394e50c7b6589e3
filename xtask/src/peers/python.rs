//! signxml and what it needs, in an environment of Python's own. `requirements.txt` names versions and hashes.

use std::path::PathBuf;
use std::process::Command;

use super::npm_folder;
use crate::succeeds;

/// The Python of the environment.
pub(super) fn program() -> PathBuf {
    folder().join("bin/python")
}

/// Whether everything is there, as `requirements.txt` wants it.
pub(super) fn is_current() -> bool {
    let installed = std::fs::read_to_string(stamp());
    program().is_file() && installed.is_ok_and(|installed| installed == wanted())
}

/// The version of signxml.
pub(super) fn signxml() -> String {
    let wanted = wanted();
    let line = wanted.lines().find_map(|line| line.strip_prefix("signxml=="));
    line.and_then(|line| line.split([' ', '\\']).next()).unwrap_or("(no version)").to_owned()
}

/// Makes the environment anew.
pub(super) fn install() -> Result<(), String> {
    println!("xtask: installing signxml");
    let python = (super::PYTHON.find)().ok_or("missing: Python 3")?;
    let mut venv = Command::new(python);
    venv.args(["-m", "venv", "--clear"]).arg(folder());
    let mut pip = Command::new(program());
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--require-hashes",
    ]);
    pip.args(["--no-deps", "--only-binary", ":all:", "--requirement"]).arg(requirements());
    if succeeds(&mut venv)? && succeeds(&mut pip)? {
        return std::fs::write(stamp(), wanted())
            .map_err(|e| format!("cannot write {}: {e}", stamp().display()));
    }
    let (folder, requirements) = (folder(), requirements());
    Err(format!(
        "cannot install signxml (Debian's python3-venv is needed); by hand: `python3 -m venv {}`, then its pip with \
         `install --require-hashes -r {}`",
        folder.display(),
        requirements.display()
    ))
}

fn folder() -> PathBuf {
    npm_folder().join("venv")
}

fn requirements() -> PathBuf {
    npm_folder().join("requirements.txt")
}

fn stamp() -> PathBuf {
    folder().join("installed.txt")
}

fn wanted() -> String {
    std::fs::read_to_string(requirements()).unwrap_or_default()
}
