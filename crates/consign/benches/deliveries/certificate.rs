//! Throw-away certificates: an authority, and a certificate of it for loopback.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM files in one folder.
pub(crate) struct Certificates {
    /// The authority that the product is told to trust.
    pub(crate) authority: PathBuf,
    /// What the tool shows.
    pub(crate) chain: PathBuf,
    /// The tool's private key.
    pub(crate) key: PathBuf,
}

/// Makes them.
pub(crate) fn create(folder: &Path) -> anyhow::Result<Certificates> {
    let files = Certificates {
        authority: folder.join("authority.pem"),
        chain: folder.join("tool.pem"),
        key: folder.join("tool.key"),
    };
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "Consign benchmark");
    let authority_key = KeyPair::generate()?;
    std::fs::write(&files.authority, authority.self_signed(&authority_key)?.pem())?;
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate =
        CertificateParams::new(names)?.signed_by(&key, &Issuer::new(authority, authority_key))?;
    std::fs::write(&files.chain, certificate.pem())?;
    std::fs::write(&files.key, key.serialize_pem())?;
    Ok(files)
}
