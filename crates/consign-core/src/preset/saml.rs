//! Tools that take a SAML assertion: what each of them demands of it.

use super::{Filling, Preset};

const SAML: &str = "oauth2_saml_bearer";

pub(super) const SUCCESSFACTORS: Preset = Preset {
    kind: "successfactors",
    label: "SAP SuccessFactors",
    types: &[
        Filling {
            authorization_type: SAML,
            values: &[
                ("recipient", "https://{api-host}/oauth/token"),
                ("audience", "www.successfactors.com"),
                ("assertion_encoding", "base64"),
                ("authentication_information", "none"),
            ],
            rows: &[
                ("oauth_token_requests", &[("company_id", "{company id}"), ("client_id", "{API key}")]),
                ("saml_attributes", &[("api_key", "{API key}")]),
            ],
            hints: &[
                (
                    "name_id",
                    "The user id or user name; with Name ID format emailAddress, the e-mail address.",
                ),
                ("issuer", "SuccessFactors takes any value; www.successfactors.com is common."),
                (
                    "certificate",
                    "Register an OAuth client application in SuccessFactors with this certificate; it shows the API key.",
                ),
            ],
            ..SUCCESSFACTORS_API
        },
        Filling {
            authorization_type: "oauth2_client_credentials",
            values: &[
                ("access_token_url", "https://{api-host}/oauth/token"),
                ("authentication_information", "header"),
            ],
            rows: &[("oauth_token_requests", &[("resource", "{resource}")])],
            ..SUCCESSFACTORS_API
        },
    ],
};

const SUCCESSFACTORS_API: Filling = Filling {
    url_address: "https://{api-host}/",
    test_path: "/odata/v2/User?$top=1",
    webhook_path: "/odata/v2/upsert",
    ..Filling::EMPTY
};

pub(super) const S4HANA: Preset = Preset {
    kind: "s4hana_cloud",
    label: "SAP S/4HANA Cloud",
    types: &[Filling {
        authorization_type: SAML,
        url_address: "https://{tenant}-api.s4hana.ondemand.com/",
        values: &[
            ("recipient", "https://{tenant}-api.s4hana.ondemand.com/sap/bc/sec/oauth2/token"),
            ("audience", "https://{tenant}.s4hana.ondemand.com"),
            ("authn_context_class_ref", "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"),
            ("assertion_encoding", "base64url"),
            ("authentication_information", "header"),
        ],
        rows: &[("oauth_token_requests", &[("scope", "{scope}"), ("client_id", "{communication user}")])],
        hints: &[
            ("audience", "The address of the tenant without -api."),
            ("name_id", "The user name or e-mail address of the business user."),
            ("client_id", "The communication user."),
            ("client_secret", "The password of the communication user."),
            ("issuer", "As the signer is registered as an OAuth identity provider."),
        ],
        test_path: "/sap/opu/odata/sap/API_BUSINESS_PARTNER/A_BusinessPartner?$top=1",
        webhook_path: "/sap/opu/odata/sap/API_BUSINESS_PARTNER/A_BusinessPartner",
        ..Filling::EMPTY
    }],
};

pub(super) const C4C: Preset = Preset {
    kind: "c4c",
    label: "SAP Sales and Service Cloud (C4C)",
    types: &[Filling {
        authorization_type: SAML,
        url_address: "https://{tenant}.crm.ondemand.com/",
        values: &[
            ("recipient", "https://{tenant}.crm.ondemand.com/sap/bc/sec/oauth2/token"),
            ("issuer", "{identity provider}"),
            ("audience", "{entity ID of the tenant}"),
            ("name_id_format", "emailAddress"),
            ("assertion_encoding", "base64url"),
            ("embed_certificate", "on"),
            ("authentication_information", "header"),
        ],
        hints: &[
            ("issuer", "The name of the OAuth identity provider in C4C."),
            ("audience", "The local service provider of the tenant, as its SSO metadata names it."),
            ("name_id", "The e-mail address of the business user."),
        ],
        test_path: "/sap/c4c/odata/v1/c4codataapi/ServiceRequestCollection?$top=1",
        webhook_path: "/sap/c4c/odata/v1/c4codataapi/ServiceRequestCollection",
        ..Filling::EMPTY
    }],
};

pub(super) const SALESFORCE: Preset = Preset {
    kind: "salesforce",
    label: "Salesforce",
    types: &[Filling {
        authorization_type: SAML,
        url_address: "https://{domain}.my.salesforce.com/",
        values: &[
            ("recipient", "https://login.salesforce.com/services/oauth2/token"),
            ("issuer", "{consumer key}"),
            ("audience", "https://login.salesforce.com"),
            ("assertion_encoding", "base64url"),
            ("authentication_information", "none"),
        ],
        hints: &[
            ("recipient", "For a sandbox https://test.salesforce.com/services/oauth2/token."),
            ("audience", "For a sandbox https://test.salesforce.com; for a community its own address."),
            ("issuer", "The consumer key of the connected app."),
            ("name_id", "The Salesforce user name."),
        ],
        test_path: "/services/data/v60.0/limits",
        webhook_path: "/services/data/v60.0/sobjects/Case",
        ..Filling::EMPTY
    }],
};

#[cfg(test)]
mod tests;
