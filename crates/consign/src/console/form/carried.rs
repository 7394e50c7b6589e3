//! What was typed into the form of a connector, carried along in the address that leads back to it while a credential is
//! created. These forms have no secrets.

use super::{Form, encoded};
use crate::console::managed;
use crate::console::visit::Signed;

/// The longest address with what was typed. It is in the head of an answer, too, and nginx takes heads of 4 KiB.
const ADDRESS_BYTES_MAX: usize = 3 << 10;
/// Marks an address that carries what was typed.
const MARK: &str = "typed";
/// The parameter that chooses a credential.
const CREDENTIAL: &str = "credential";
/// What a form sends about itself, and what makes a preview.
const NOT_CARRIED: &[&str] = &["csrf", "once", "new_credential", "preview_event"];

/// The form of a new credential, which leads back to the form at `address` with all that was typed into it; `None` when
/// that is too long.
pub(in crate::console) fn with_typed(form: &Form, address: &str) -> Option<String> {
    let typed = form.pairs().filter(|(name, _)| !NOT_CARRIED.contains(name));
    // An empty value is carried too: a field that is not named has its default.
    let typed: Vec<_> = typed.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let whole = new_credential(&format!("{address}?{MARK}=1&{}", typed.join("&")));
    (whole.len() <= ADDRESS_BYTES_MAX).then_some(whole)
}

/// The same without what was typed.
pub(in crate::console) fn without_typed(form: &Form, address: &str) -> String {
    let query = if managed::is_open(form, &[]) { "?edit=anyway" } else { "" };
    new_credential(&format!("{address}{query}"))
}

fn new_credential(back: &str) -> String {
    format!("/credentials/new?back={}", encoded(back))
}

/// An address of ours that chooses this credential, whatever it chose before.
pub(in crate::console) fn with_credential(address: &str, id: &str) -> String {
    let address = address.split('#').next().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let is_other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(CREDENTIAL);
    let mut pairs: Vec<_> = query.split('&').filter(is_other).map(str::to_owned).collect();
    pairs.push(format!("{CREDENTIAL}={}", encoded(id)));
    format!("{path}?{}", pairs.join("&"))
}

/// Whether an address carries what was typed into its form.
pub(in crate::console) fn comes_back(form: &Form) -> bool {
    form.has(MARK)
}

/// Whether the address of a form that is looked at fills in what is not saved. `is_stored`: something is saved.
pub(in crate::console) fn fills_in(visit: &Signed, is_stored: bool) -> bool {
    visit.looks && (comes_back(&visit.form) || (is_stored && !visit.form.text(CREDENTIAL).is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query of the address that an address leads back to.
    fn back(address: &str) -> String {
        let back = address.strip_prefix("/credentials/new?back=").unwrap();
        let pairs =
            form_urlencoded::parse(format!("back={back}").as_bytes()).into_owned().collect::<Vec<_>>();
        pairs[0].1.clone()
    }

    #[test]
    fn what_was_typed_is_carried_along() {
        let typed = [
            ("csrf", "token"),
            ("once", "req_1"),
            ("etag", "\"7\""),
            ("name", "A & B"),
            ("path", ""),
            ("columns", "a\r\nb"),
            ("credential", "crd_1"),
            ("preview_event", "evt_1"),
            ("new_credential", "1"),
        ];
        let form = Form::from(&typed[..]);
        let address = with_typed(&form, "/webhooks/con_1/set-up").unwrap();
        assert_eq!(
            back(&address),
            "/webhooks/con_1/set-up?typed=1&etag=%227%22&name=A%20%26%20B&path=&columns=a%0D%0Ab&credential=crd_1"
        );
        let long = "x".repeat(ADDRESS_BYTES_MAX);
        assert_eq!(with_typed(&Form::from(&[("name", long.as_str())][..]), "/webhooks/new"), None);
    }

    #[test]
    fn without_what_was_typed_a_form_stays_open() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            assert_eq!(back(&without_typed(&Form::from(pairs), "/webhooks/con_1/set-up")), expected);
        };
        check(&[("name", "A")], "/webhooks/con_1/set-up");
        check(&[("edit", "anyway")], "/webhooks/con_1/set-up?edit=anyway");
    }

    #[test]
    fn an_address_chooses_one_credential() {
        for (address, expected) in [
            ("/webhooks/new", "/webhooks/new?credential=crd_2"),
            ("/webhooks/new?", "/webhooks/new?credential=crd_2"),
            ("/webhooks/con_1/set-up?edit=anyway", "/webhooks/con_1/set-up?edit=anyway&credential=crd_2"),
            (
                "/webhooks/new?typed=1&credential=crd_1&path=%2Fx",
                "/webhooks/new?typed=1&path=%2Fx&credential=crd_2",
            ),
            ("/webhooks/new?credential=#f-path", "/webhooks/new?credential=crd_2"),
        ] {
            assert_eq!(with_credential(address, "crd_2"), expected, "{address}");
        }
    }
}
