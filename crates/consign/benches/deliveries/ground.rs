//! What all scenarios share: folders, certificates, the database server, and how much is done.

use std::cell::Cell;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::certificate::{self, Certificates};
use crate::machine::Machine;

/// A folder that is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it, for nobody else to read.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays harms nobody, and the figures stand.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where it is measured.
pub(crate) struct Ground {
    pub(crate) machine: Machine,
    pub(crate) certificates: Certificates,
    /// The token that every delivery must carry.
    pub(crate) token: String,
    /// The address of an empty PostgreSQL database.
    pub(crate) postgres: Option<String>,
    /// Small counts.
    pub(crate) quick: bool,
    folder: Folder,
    homes: Cell<u32>,
}

impl Ground {
    pub(crate) fn prepare(
        dir: Option<PathBuf>,
        quick: bool,
        postgres: Option<String>,
    ) -> anyhow::Result<Self> {
        let dir = dir.unwrap_or_else(std::env::temp_dir);
        let folder = Folder::create(dir.join(format!("consign-bench-{}", std::process::id())))?;
        Ok(Self {
            machine: Machine::look(folder.path())?,
            certificates: certificate::create(folder.path())?,
            token: random_word()?,
            postgres,
            quick,
            folder,
            homes: Cell::new(0),
        })
    }

    /// An empty folder for one Consign.
    pub(crate) fn home(&self) -> anyhow::Result<Folder> {
        let number = self.homes.get() + 1;
        self.homes.set(number);
        Folder::create(self.folder.path().join(number.to_string()))
    }

    /// `many`, or `few` when it only has to work.
    pub(crate) fn of(&self, many: u64, few: u64) -> u64 {
        if self.quick { few } else { many }
    }
}

/// A port of loopback that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn random_word() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
