//! The sign-in (RFC 4252, RFC 4256, RFC 8332): by key, by password, or by both where the server asks for both. It starts
//! only after the host key matched.

use std::sync::Arc;
use std::time::Instant;

use consign_core::auth::SshLogin;
use consign_core::secret::Secret;
use consign_core::ssh_key;
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Asked};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use tokio::time::timeout_at;

use super::session::Session;
use super::{OPEN_TIMEOUT, SftpFault, SftpWhy, SignInWhy};
use crate::{phase, words};

/// After the password a server may ask nothing more, as PAM does, but not forever.
const EMPTY_ROUNDS_MAX: usize = 3;

/// Signs in, and tells how.
pub(super) async fn sign_in(
    session: &mut Session,
    login: &SshLogin,
    deadline: Instant,
) -> Result<String, SftpFault> {
    let key = opened(login).await?;
    let (end, length) = phase(OPEN_TIMEOUT, deadline);
    let mut signing_in = SignIn { session: &mut *session, login, key: key.as_ref() };
    let taken = timeout_at(end, signing_in.run()).await;
    let how = taken.map_err(|_| {
        SftpFault::unreachable(format!("The server did not finish the sign-in within {}.", words(length)))
    })??;
    session.signed_in();
    Ok(how)
}

/// Opens the key. That can take seconds, so it has a thread to itself.
async fn opened(login: &SshLogin) -> Result<Option<Arc<PrivateKey>>, SftpFault> {
    let Some(key) = &login.key else { return Ok(None) };
    let copy = |secret: &Secret| Secret::new(secret.expose().to_owned());
    let (text, passphrase) = (copy(&key.text), key.passphrase.as_ref().map(copy));
    let opening = tokio::task::spawn_blocking(move || ssh_key::open(&text, passphrase.as_ref()));
    match opening.await {
        Ok(Ok(key)) => Ok(Some(Arc::new(key))),
        Ok(Err(fault)) => {
            let detail = format!("{}.", fault.fault.message);
            Err(SftpFault::new(SftpWhy::Key(fault), detail))
        }
        Err(_) => Err(SftpFault::lost("This server is stopping.")),
    }
}

struct SignIn<'a> {
    session: &'a mut Session,
    login: &'a SshLogin,
    key: Option<&'a Arc<PrivateKey>>,
}

/// What the server said to an offer.
enum Said {
    Welcome,
    /// Accepted, and there is more to prove.
    More(MethodSet),
    No(MethodSet),
}

impl SignIn<'_> {
    async fn run(&mut self) -> Result<String, SftpFault> {
        let Some(key) = self.key else { return self.password_alone().await };
        match self.by_key(key).await? {
            Said::Welcome => Ok("publickey".to_owned()),
            Said::More(methods) => {
                let how = self.password_too(&methods, SignInWhy::PasswordToo).await?;
                Ok(format!("publickey, {how}"))
            }
            // Some servers want the password first, and say so by not naming keys.
            Said::No(methods)
                if !methods.contains(&MethodKind::PublicKey) && self.login.password.is_some() =>
            {
                let (said, how) = self.by_password(&methods).await?;
                match said {
                    Said::Welcome => Ok(how.to_owned()),
                    Said::More(_) => match self.by_key(key).await? {
                        Said::Welcome => Ok(format!("{how}, publickey")),
                        Said::More(_) | Said::No(_) => Err(refused(SignInWhy::Refused)),
                    },
                    Said::No(_) => Err(refused(SignInWhy::Refused)),
                }
            }
            Said::No(methods) if !methods.contains(&MethodKind::PublicKey) => {
                Err(refused(SignInWhy::NoMethod))
            }
            Said::No(_) => Err(refused(SignInWhy::Refused)),
        }
    }

    /// The server is asked first what it takes, so that the password is offered once and in one way.
    async fn password_alone(&mut self) -> Result<String, SftpFault> {
        let asked = self.session.handle.authenticate_none(&self.login.username).await;
        match said(asked)? {
            Said::Welcome => Ok("none".to_owned()),
            Said::More(methods) | Said::No(methods) => {
                self.password_too(&methods, SignInWhy::NoMethod).await.map(str::to_owned)
            }
        }
    }

    /// The password, where nothing else is left to offer; `without` is why it fails without one.
    async fn password_too(
        &mut self,
        methods: &MethodSet,
        without: SignInWhy,
    ) -> Result<&'static str, SftpFault> {
        if self.login.password.is_none() {
            return Err(refused(without));
        }
        match self.by_password(methods).await? {
            (Said::Welcome, how) => Ok(how),
            (Said::More(methods), _) if methods.contains(&MethodKind::PublicKey) => {
                Err(refused(SignInWhy::KeyToo))
            }
            (Said::More(_) | Said::No(_), _) => Err(refused(SignInWhy::Refused)),
        }
    }

    async fn by_key(&mut self, key: &Arc<PrivateKey>) -> Result<Said, SftpFault> {
        let handle = &mut self.session.handle;
        let hash = if key.algorithm().is_rsa() {
            match handle.best_supported_rsa_hash().await.map_err(lost)? {
                Some(Some(hash)) => Some(hash),
                // RFC 8332 section 3.3: a server that does not say still knows it, or refuses.
                None => Some(HashAlg::Sha256),
                Some(None) => {
                    let detail =
                        "The server takes RSA keys with SHA-1 only, which is not accepted. Use another key.";
                    return Err(SftpFault::new(SftpWhy::SignIn(SignInWhy::NoMethod), detail));
                }
            }
        } else {
            None
        };
        let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
        said(handle.authenticate_publickey(&self.login.username, key).await)
    }

    async fn by_password(&mut self, methods: &MethodSet) -> Result<(Said, &'static str), SftpFault> {
        let Some(password) = &self.login.password else { return Err(refused(SignInWhy::NoMethod)) };
        if methods.contains(&MethodKind::Password) {
            let asked = self.session.handle.authenticate_password(&self.login.username, password.expose());
            return Ok((said(asked.await)?, "password"));
        }
        if methods.contains(&MethodKind::KeyboardInteractive) {
            return Ok((self.by_keyboard(password).await?, "keyboard-interactive"));
        }
        Err(refused(SignInWhy::NoMethod))
    }

    /// The password answers the first question that hides what is typed, and no other.
    async fn by_keyboard(&mut self, password: &Secret) -> Result<Said, SftpFault> {
        let handle = &mut self.session.handle;
        let asked = handle.authenticate_keyboard_interactive_start(&self.login.username, None::<String>);
        let mut asked = asked.await.map_err(lost)?;
        let (mut answered, mut empty) = (false, 0);
        loop {
            let answers = match asked {
                Asked::Success => return Ok(Said::Welcome),
                Asked::Failure { remaining_methods, partial_success: true } => {
                    return Ok(Said::More(remaining_methods));
                }
                Asked::Failure { remaining_methods, .. } => return Ok(Said::No(remaining_methods)),
                Asked::InfoRequest { prompts, .. } => match prompts.as_slice() {
                    [] if empty < EMPTY_ROUNDS_MAX => {
                        empty += 1;
                        Vec::new()
                    }
                    [prompt] if !prompt.echo && !answered => {
                        answered = true;
                        vec![password.expose().to_owned()]
                    }
                    _ => return Err(refused(SignInWhy::Questions)),
                },
            };
            asked = handle.authenticate_keyboard_interactive_respond(answers).await.map_err(lost)?;
        }
    }
}

fn said(asked: Result<AuthResult, russh::Error>) -> Result<Said, SftpFault> {
    Ok(match asked.map_err(lost)? {
        AuthResult::Success => Said::Welcome,
        AuthResult::Failure { remaining_methods, partial_success: true } => Said::More(remaining_methods),
        AuthResult::Failure { remaining_methods, .. } => Said::No(remaining_methods),
    })
}

fn lost(_: russh::Error) -> SftpFault {
    SftpFault::unreachable("The server ended the connection during the sign-in.")
}

fn refused(why: SignInWhy) -> SftpFault {
    let detail = match why {
        SignInWhy::Refused => "The server refused the sign-in.",
        SignInWhy::PasswordToo => "The server accepted the key and asks for a password as well.",
        SignInWhy::KeyToo => "The server accepted the password and asks for a key as well.",
        SignInWhy::NoMethod => "The server takes none of what this credential has.",
        SignInWhy::Questions => "The server asks questions that a password does not answer.",
    };
    SftpFault::new(SftpWhy::SignIn(why), detail)
}
