//! Passwords: which are refused, and how they are kept (Argon2id, RFC 9106).

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use aws_lc_rs::rand;
use consign_core::secret::Secret;

use crate::App;
use crate::ops::OpError;

/// Memory in KiB, passes, lanes: OWASP's smallest set for Argon2id.
const ARGON2: (u32, u32, u32) = (19 * 1_024, 2, 1);

/// One repeated character, a run of the keyboard or alphabet, or the person's own name or address.
pub(super) fn is_guessed_first(password: &str, name: &str, email: &str) -> bool {
    const RUNS: [&str; 4] = [
        "01234567890123456789",
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiopasdfghjklzxcvbnm",
        "passwordpassword",
    ];
    let lower = password.to_lowercase();
    let same = lower.chars().all(|c| lower.starts_with(c));
    let own = [name.to_lowercase(), email.to_lowercase()];
    same || RUNS.iter().any(|run| run.contains(&lower)) || own.contains(&lower)
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = ARGON2;
    let params = Params::new(memory, passes, lanes, None).expect("the parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// With 128 random bits of salt.
fn hashed(password: &Secret) -> Result<PasswordHash, argon2::password_hash::Error> {
    let mut salt = [0_u8; 16];
    rand::fill(&mut salt).map_err(|_| argon2::password_hash::Error::Crypto)?;
    argon2().hash_password_with_salt(password.expose().as_bytes(), &salt)
}

pub(in crate::ops) async fn hash_password(app: &App, password: &Secret) -> Result<String, OpError> {
    let _turn = app.sign_ins.hashes.acquire().await.map_err(|_| OpError::Draining)?;
    let password = Secret::new(password.expose().to_owned());
    let done = tokio::task::spawn_blocking(move || hashed(&password).map(|hash| hash.to_string()));
    let done = done.await.map_err(|error| OpError::Internal(error.into()))?;
    done.map_err(|error| OpError::Internal(error.to_string().into()))
}

pub(super) async fn password_fits(
    app: &App,
    password: &Secret,
    stored: Option<String>,
) -> Result<bool, OpError> {
    let _turn = app.sign_ins.hashes.acquire().await.map_err(|_| OpError::Draining)?;
    let password = Secret::new(password.expose().to_owned());
    let judged = tokio::task::spawn_blocking(move || {
        let known = stored.as_deref().and_then(|stored| PasswordHash::new(stored).ok());
        match known {
            Some(known) => argon2().verify_password(password.expose().as_bytes(), &known).is_ok(),
            None => {
                // The same work, so that the time does not tell whether the account exists.
                let _ = hashed(&password);
                false
            }
        }
    });
    judged.await.map_err(|error| OpError::Internal(error.into()))
}
