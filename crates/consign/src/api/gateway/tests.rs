//! Addresses of gateways, taken apart as they were sent.

use super::split;

#[test]
fn an_address_falls_into_gateway_and_target_as_sent() {
    for (whole, slug, target) in [
        ("/gateway/itsm", "itsm", "/"),
        ("/gateway/itsm/", "itsm", "/"),
        ("/gateway/itsm?a=1", "itsm", "/?a=1"),
        ("/gateway/itsm/api/now?x=%2F", "itsm", "/api/now?x=%2F"),
        ("/gateway/itsm//evil", "itsm", "//evil"),
        ("/gateway/itsm/%2e%2e/x", "itsm", "/%2e%2e/x"),
        ("/gateway/%69tsm/x", "%69tsm", "/x"),
        ("/gateway//x", "", "/x"),
        ("/gateway", "", "/"),
    ] {
        assert_eq!(split(whole), (slug, target.to_owned()), "{whole}");
    }
}
