//! Presets: the usual values for a tool, and a first webhook for it. A preset fills in what a person can change; it is
//! not stored and adds no code path.

mod saml;

/// The usual values for one tool.
#[derive(Debug)]
pub struct Preset {
    /// The public word; never renamed.
    pub kind: &'static str,
    /// The name on the screen.
    pub label: &'static str,
    /// What to fill in for each way in that the tool offers, the usual one first.
    pub types: &'static [Filling],
}

/// What to fill in for one authorization type. A part in braces is to be replaced; an address that begins with
/// `url_address` follows it.
#[derive(Debug)]
pub struct Filling {
    /// The stored name of the type.
    pub authorization_type: &'static str,
    /// The start of the address.
    pub url_address: &'static str,
    /// Plain fields by key.
    pub values: &'static [(&'static str, &'static str)],
    /// Fields of rows by key: names and values.
    pub rows: &'static [(&'static str, &'static [(&'static str, &'static str)])],
    /// Custom headers that the tool wants, and what belongs into them.
    pub custom_headers: &'static [(&'static str, &'static str)],
    /// What to know about a field, by key.
    pub hints: &'static [(&'static str, &'static str)],
    /// A path that needs the sign-in and changes nothing.
    pub test_path: &'static str,
    /// The method of a first webhook.
    pub webhook_method: &'static str,
    /// The path of a first webhook.
    pub webhook_path: &'static str,
}

impl Filling {
    /// Nothing filled in, for what a preset does not say itself.
    const EMPTY: Self = Self {
        authorization_type: "",
        url_address: "",
        values: &[],
        rows: &[],
        custom_headers: &[],
        hints: &[],
        test_path: "",
        webhook_method: "POST",
        webhook_path: "",
    };

    /// The path of a first webhook. A part in braces that the test path has too stands there already.
    pub fn webhook_path_beside(&self, test_path: &str) -> String {
        let braces = self.test_path.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        match (braces, in_braces(self.test_path, test_path)) {
            (Some((name, _)), Some(part)) => self.webhook_path.replace(&format!("{{{name}}}"), part),
            _ => self.webhook_path.to_owned(),
        }
    }
}

/// A preset by its public word.
pub fn find(kind: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.kind == kind)
}

/// What the presets know of a tool at this address, signed in to in this way.
pub fn of_address(url_address: &str, authorization_type: &str) -> Option<&'static Filling> {
    let fits = |template: &str| template == url_address || in_braces(template, url_address).is_some();
    PRESETS
        .iter()
        .filter_map(|preset| preset.filling(authorization_type))
        .find(|filling| fits(filling.url_address))
}

impl Preset {
    /// What to fill in for one authorization type; `None` when the tool does not offer it.
    pub fn filling(&self, authorization_type: &str) -> Option<&'static Filling> {
        self.types.iter().find(|filling| filling.authorization_type == authorization_type)
    }
}

/// What stands in a text in the place of the braces of a template.
fn in_braces<'a>(template: &str, text: &'a str) -> Option<&'a str> {
    let (before, rest) = template.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    let part = text.strip_prefix(before)?.strip_suffix(after)?;
    (!part.is_empty() && !part.contains(['/', '{'])).then_some(part)
}

/// All presets, in screen order.
pub static PRESETS: &[Preset] = &[
    Preset {
        kind: "servicenow",
        label: "ServiceNow",
        types: &[
            Filling {
                authorization_type: "oauth2_client_credentials",
                values: &[
                    ("access_token_url", "https://{instance}.service-now.com/oauth_token.do"),
                    ("authentication_information", "header"),
                ],
                hints: &[(
                    "client_id",
                    "Client credentials are off at first: switch on the property \
                     glide.oauth.inbound.client.credential.grant_type.enabled, and give the registry entry an OAuth \
                     Application User.",
                )],
                ..SERVICENOW
            },
            Filling { authorization_type: "basic", ..SERVICENOW },
            Filling {
                authorization_type: "oauth2_authorization_code",
                values: &[
                    ("authorization_code_url", "https://{instance}.service-now.com/oauth_auth.do"),
                    ("access_token_url", "https://{instance}.service-now.com/oauth_token.do"),
                    ("authentication_information", "header"),
                    ("pkce", "s256"),
                ],
                ..SERVICENOW
            },
        ],
    },
    Preset {
        kind: "jira",
        label: "Jira Service Desk",
        types: &[
            Filling {
                authorization_type: "basic",
                url_address: "https://{site}.atlassian.net/",
                hints: &[
                    ("username", "The email address of the account."),
                    ("password", "An API token of the account. It ends within a year: set Ends on."),
                ],
                test_path: "/rest/api/3/myself",
                webhook_path: "/rest/servicedeskapi/request",
                ..Filling::EMPTY
            },
            Filling {
                authorization_type: "oauth2_authorization_code",
                url_address: "https://api.atlassian.com/",
                values: &[
                    ("authorization_code_url", "https://auth.atlassian.com/authorize"),
                    ("access_token_url", "https://auth.atlassian.com/oauth/token"),
                    ("authentication_information", "body"),
                    ("scope", "offline_access"),
                    ("pkce", "s256"),
                ],
                rows: &[(
                    "authorization_parameters",
                    &[("audience", "api.atlassian.com"), ("prompt", "consent")],
                )],
                hints: &[(
                    "scope",
                    "Keep offline_access, and add what your app may do, such as read:jira-user and \
                     write:servicedesk-request.",
                )],
                test_path: "/ex/jira/{cloudId}/rest/api/3/myself",
                webhook_path: "/ex/jira/{cloudId}/rest/servicedeskapi/request",
                ..Filling::EMPTY
            },
        ],
    },
    Preset {
        kind: "4me",
        label: "4me / Xurrent",
        types: &[
            Filling { authorization_type: "bearer", values: &[("header_prefix", "Bearer")], ..FOURME },
            Filling {
                authorization_type: "oauth2_client_credentials",
                values: &[
                    ("access_token_url", "https://oauth.4me.com/token"),
                    ("authentication_information", "body"),
                ],
                hints: &[(
                    "access_token_url",
                    "It has the region of the account too, such as https://oauth.au.4me.com/token.",
                )],
                ..FOURME
            },
        ],
    },
    saml::SUCCESSFACTORS,
    saml::S4HANA,
    saml::C4C,
    saml::SALESFORCE,
];

const SERVICENOW: Filling = Filling {
    url_address: "https://{instance}.service-now.com/",
    test_path: "/api/now/table/sys_user?sysparm_limit=1",
    webhook_path: "/api/now/table/incident",
    ..Filling::EMPTY
};

const FOURME: Filling = Filling {
    url_address: "https://api.4me.com/",
    custom_headers: &[("X-4me-Account", "The id of the account that the requests are for.")],
    test_path: "/v1/people/me",
    webhook_path: "/v1/requests",
    ..Filling::EMPTY
};

#[cfg(test)]
mod tests;
