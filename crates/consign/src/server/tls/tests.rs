use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;

const NAME: &str = "consign.example.org";

/// Certificate and key in PEM form, and the certificate as it is shown.
fn certificate() -> (String, String, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().clone())
}

/// The certificate that a client is shown; it trusts all of them.
async fn shown(acceptor: TlsAcceptor, trusted: &[&CertificateDer<'static>]) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    for root in trusted {
        roots.add((*root).clone()).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (client, server) = tokio::join!(connector.connect(name, ours), acceptor.accept(theirs));
    server.unwrap();
    let client = client.unwrap();
    client.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_once_it_fits_its_key() {
    let id = consign_core::id::RequestId::new(consign_store::local_now());
    let folder = std::env::temp_dir().join(format!("consign-tls-{id}"));
    std::fs::create_dir(&folder).unwrap();
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (old, new) = (certificate(), certificate());
    let written = std::cell::Cell::new(SystemTime::UNIX_EPOCH);
    // A time of its own for each writing: file systems tell them no finer apart than they like.
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).unwrap();
        written.set(written.get() + Duration::from_secs(1));
        std::fs::File::options().write(true).open(path).unwrap().set_modified(written.get()).unwrap();
    };
    write(&chain, &old.0);
    write(&key, &old.1);
    let options = ServerOptions {
        tls_cert_file: Some(chain.clone()),
        tls_key_file: Some(key.clone()),
        ..crate::config::Config::default().server
    };
    let start = super::super::clock();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let tls = Tls::new(&options, start).unwrap().unwrap();
    let trusted = [&old.2, &new.2];
    assert_eq!(shown(tls.acceptor(at(1)), &trusted).await, old.2);
    write(&chain, &new.0);
    assert_eq!(shown(tls.acceptor(at(2)), &trusted).await, old.2, "half of a renewal");
    write(&key, &new.1);
    assert_eq!(shown(tls.acceptor(at(2)), &trusted).await, old.2, "it was just looked at");
    assert_eq!(shown(tls.acceptor(at(3)), &trusted).await, new.2);
    std::fs::remove_file(&chain).unwrap();
    assert_eq!(shown(tls.acceptor(at(4)), &trusted).await, new.2, "a file that is gone changes nothing");
    assert!(Tls::new(&options, start).is_err());
    std::fs::remove_dir_all(folder).unwrap();
}
