//! Passwords: which are refused, and how they are kept (Argon2id, RFC 9106).

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use aws_lc_rs::rand;
use consign_core::secret::Secret;

use crate::App;
use crate::ops::OpError;

/// Memory in KiB, passes, lanes: OWASP's smallest set for Argon2id.
const ARGON2: (u32, u32, u32) = (19 * 1_024, 2, 1);

/// A password of fewer parts is guessed before long, however many characters it has.
const PARTS_MIN: usize = 7;
/// Shorter pieces of a run are as good as any other characters.
const RUN_CHARS_MIN: usize = 3;
/// Along keyboard, digits and alphabet; read backwards as well.
const RUNS: [&str; 5] = ["01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
/// What lists of stolen passwords are full of.
const WORDS: [&str; 40] = [
    "password",
    "passw0rd",
    "passwort",
    "welcome",
    "willkommen",
    "letmein",
    "admin",
    "administrator",
    "consign",
    "secret",
    "changeme",
    "default",
    "iloveyou",
    "monkey",
    "dragon",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "master",
    "shadow",
    "superman",
    "batman",
    "login",
    "hello",
    "whatever",
    "trustno",
    "starwars",
    "freedom",
    "summer",
    "winter",
    "spring",
    "autumn",
    "monday",
    "company",
    "server",
    "system",
    "root",
    "user",
    "test",
];

/// Whether somebody who guesses gets there early: little is left of it when runs, repetitions, common words and what
/// is known of the person count as one part each.
pub(super) fn is_guessed_first(password: &str, name: &str, email: &str) -> bool {
    let (lower, name, email) = (password.to_lowercase(), name.to_lowercase(), email.to_lowercase());
    let own = name.split_whitespace().chain([name.as_str(), email.as_str()]);
    let own = own.chain(email.split(['@', '.', '-', '_', '+']));
    let mut words: Vec<Vec<char>> =
        WORDS.iter().copied().chain(own).map(|word| word.chars().collect()).collect();
    for run in RUNS {
        words.extend(pieces(&run.chars().collect::<Vec<_>>()));
        words.extend(pieces(&run.chars().rev().collect::<Vec<_>>()));
    }
    words.retain(|word| word.len() >= RUN_CHARS_MIN);
    parts(&lower.chars().collect::<Vec<_>>(), &words) < PARTS_MIN
}

/// Every piece of a run that begins anywhere in it.
fn pieces(run: &[char]) -> Vec<Vec<char>> {
    let ends = |start: usize| (start + RUN_CHARS_MIN..=run.len()).map(move |end| (start, end));
    (0..run.len()).flat_map(ends).map(|(start, end)| run[start..end].to_vec()).collect()
}

/// How many different parts a text has: known words and single characters. What came before counts no more.
fn parts(text: &[char], words: &[Vec<char>]) -> usize {
    let (mut seen, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let known = words.iter().filter(|word| rest.starts_with(word)).map(Vec::len).max().unwrap_or(1);
        let (part, after) = rest.split_at(known);
        if !seen.contains(&part) {
            seen.push(part);
        }
        rest = after;
    }
    seen.len()
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
