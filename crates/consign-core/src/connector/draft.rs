//! What the drafts of all kinds of connectors begin with.

use crate::catalog::{Fault, Reader, too_long};
use crate::credential::Credential;
use crate::name::Name;

const DESCRIPTION_CHARS_MAX: usize = 500;

/// Name and description.
pub(super) fn named(reader: &mut Reader) -> (Option<Name>, String) {
    let name = reader.text("name", "Name");
    let name = reader.accept("name", Name::parse(&name));
    let description = reader.text("description", "Description").trim().to_owned();
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        reader.refuse("description", too_long("Description", DESCRIPTION_CHARS_MAX));
    }
    (name, description)
}

/// The host of the credential that the key `credential` names, which has to lead to a tool on the web.
pub(super) fn tool(reader: &mut Reader, credential: Option<&Credential>) -> String {
    reader.take("credential");
    let Some(credential) = credential else {
        reader.refuse("credential", Fault::new("missing", "Choose a credential"));
        return String::new();
    };
    if credential.target.origin().is_none() {
        let sentence = format!("“{}” is for SFTP. Choose an HTTPS credential", credential.name);
        reader.refuse("credential", Fault::new("wrong_protocol", sentence));
    }
    credential.target.host().to_string()
}
