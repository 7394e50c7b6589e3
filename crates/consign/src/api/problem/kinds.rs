//! The kinds of problems: code, status, title, what it means and what to do.

/// A kind of problem.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Stable and public.
    pub(crate) code: &'static str,
    /// The status of HTTP.
    pub(crate) status: u16,
    /// The same for each problem of the kind.
    pub(crate) title: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

impl Kind {
    /// The last part of the address of its page.
    pub(crate) fn name(&self) -> String {
        self.code.replace('_', "-")
    }

    /// The address of its page.
    pub(crate) fn address(&self) -> String {
        format!("/docs/problems/{}", self.name())
    }
}

macro_rules! kinds {
    ($($name:ident = $status:literal $code:literal, $title:literal, $meaning:literal, $remedy:literal;)*) => {
        $(
            pub(crate) static $name: Kind =
                Kind { code: $code, status: $status, title: $title, meaning: $meaning, remedy: $remedy };
        )*
        /// All kinds, by status.
        pub(crate) static KINDS: &[&Kind] = &[$(&$name,)*];
    };
}

kinds! {
    NOT_READABLE = 400 "not_readable",
        "The request cannot be read",
        "The body is not JSON, is not an object where one is expected, or a header does not have its form.",
        "Compare the request with the description at /openapi.json. The detail says where reading stopped.";
    UNKNOWN_PARAMETER = 400 "unknown_parameter",
        "A query parameter is not known",
        "Parameters that are not known are refused, so that a misspelt filter does not show everything.",
        "Correct the name. The detail suggests the nearest one.";
    PARAMETER_NOT_ACCEPTED = 400 "parameter_not_accepted",
        "A query parameter was not accepted",
        "The value does not fit, or the parameter was given twice.",
        "Correct the value. The detail says what is expected.";
    IDEMPOTENCY_KEY_NEEDED = 400 "idempotency_key_needed",
        "An Idempotency-Key is needed",
        "A batch of events, a push to an exporter and the start of a run need the header Idempotency-Key, so that sending it again makes no second copy.",
        "Add the header with up to 128 visible characters that are new for each of them, such as a UUID.";
    KEY_MISSING = 401 "key_missing",
        "An API key is needed",
        "The call to a gateway came without an API key. Sessions of the console are not accepted there.",
        "Send a key with the scope gateway:call as Authorization: Bearer csg_…, or as Consign-Key: csg_….";
    KEY_NOT_ACCEPTED = 401 "key_not_accepted",
        "Sign-in is needed",
        "The request has no API key, or one that is cut, not known, deleted or past its end.",
        "Send a valid key as Authorization: Bearer csg_…. An administrator creates keys under Settings.";
    NOT_ALLOWED = 403 "not_allowed",
        "This is not allowed",
        "The API key is valid but does not have the right that this needs. The member “right” names it.",
        "Use a key with this right, or have an administrator create one.";
    GATEWAY_NOT_ALLOWED = 403 "gateway_not_allowed",
        "This key may not use this gateway",
        "The API key lacks the scope gateway:call, is limited to other gateways, or the gateway is for other keys.",
        "An administrator makes a key for this gateway, or adds this one to those that the gateway takes.";
    PATH_NOT_ALLOWED = 403 "path_not_allowed",
        "This path is not passed on",
        "The path is not below a path prefix of the gateway, a tool could read it as another path, or a header asks for another one. Nothing was sent.",
        "Compare the path with the prefixes of the gateway. Slashes and dots are not sent encoded.";
    CSRF_TOKEN_NEEDED = 403 "csrf_token_needed",
        "The request does not come from the console",
        "A session of the console is only accepted with the header Consign-CSRF, from pages of this server.",
        "Programs use an API key. In the console, load the page again.";
    NOT_FOUND = 404 "not_found",
        "Not found",
        "The address is not part of the API, or the object does not exist or was deleted.",
        "Check the id or name. Ids begin with the kind of object, such as crd_ or con_.";
    GATEWAY_NOT_FOUND = 404 "gateway_not_found",
        "There is no such gateway",
        "No gateway has this address part, or it was deleted. Nothing was sent.",
        "Check what stands behind /gateway/ with the address that the page of the gateway shows.";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed",
        "This method is not offered here",
        "The address exists, but not with this method.",
        "Use one of the methods in the header Allow.";
    TOO_SLOW = 408 "too_slow",
        "The body did not arrive in time",
        "The body of the request took longer than 30 seconds.",
        "Send the request again. If it happens often, look at the network in between.";
    STILL_USED = 409 "still_used",
        "It is still used",
        "Connectors use this credential. They are listed.",
        "Choose another credential for them, or delete with linked=hold: their deliveries wait for one.";
    MANAGED_ELSEWHERE = 409 "managed_elsewhere",
        "Another file manages it",
        "The object is managed from a file, under another name than that of this request. Nothing was changed. The member “managed_by” names it.",
        "Take it out of one of the files. With force=true, or consign apply --force, this one takes it over.";
    WRONG_STATE = 409 "wrong_state",
        "Its state does not allow this",
        "The action does not fit what the object is now; it may have changed since you looked.",
        "Read the object again. A delivery lists under “actions” what can be done.";
    WRONG_OFFSET = 409 "wrong_offset",
        "The file goes on elsewhere",
        "A file that is pushed in several requests goes on behind what is stored of it. Nothing was taken.",
        "Send what stands behind Upload-Offset, which the member “offset” says too.";
    IDEMPOTENCY_IN_PROGRESS = 409 "idempotency_in_progress",
        "The first request is still running",
        "Another request with the same Idempotency-Key has not ended yet.",
        "Wait for the time in Retry-After and send the same request again: it gets the stored answer.";
    CHANGED_BY_SOMEONE_ELSE = 412 "changed_by_someone_else",
        "It was changed by someone else",
        "The object is not as you read it. Nothing was saved. The member “current” shows it as it is now.",
        "Put your change into the present values and send it again with the new ETag.";
    TOO_LARGE = 413 "too_large",
        "The request is too large",
        "The body is larger than this server accepts. GET /api/v1/meta shows the limits.",
        "Send less at once. The operator can raise limits.event_bytes for events and limits.export_bytes for files.";
    REQUEST_TOO_LARGE = 413 "request_too_large",
        "The body is too large for this gateway",
        "The body of the call is larger than the gateway passes on.",
        "Send less at once, or raise the largest request in the settings of the gateway.";
    MEDIA_TYPE_NOT_ACCEPTED = 415 "media_type_not_accepted",
        "This media type is not accepted",
        "The body has a Content-Type or Content-Encoding that this address does not take.",
        "Send JSON as application/json, without compression.";
    VALUES_NOT_ACCEPTED = 422 "values_not_accepted",
        "Some values were not accepted",
        "The request was read, but some of its values break a rule. Nothing was saved.",
        "Each error names its place and says what to change.";
    UNKNOWN_FIELD = 422 "unknown_field",
        "A field is not known",
        "Unknown fields are refused, so that a misspelt one is not silently left out. Nothing was saved.",
        "Correct or remove the fields that are named.";
    IDEMPOTENCY_MISMATCH = 422 "idempotency_mismatch",
        "The Idempotency-Key belongs to another request",
        "The same key came with another address or body within the last 24 hours.",
        "Use a new key for a new request.";
    IF_MATCH_NEEDED = 428 "if_match_needed",
        "If-Match is needed",
        "Changes need the ETag of the object as you know it, so that nobody overwrites another's work.",
        "Read the object, then send its ETag in If-Match. If-Match: * changes it whatever it is.";
    TOO_MANY_REQUESTS = 429 "too_many_requests",
        "Too many requests",
        "This API key has made more requests in a second, or more connection tests or comparisons of secrets in a minute, than is allowed. Nothing of this one was done.",
        "Wait for the time in Retry-After. The operator can raise limits.requests_per_second.";
    TOO_MANY_CALLS = 429 "too_many_calls",
        "Too many calls",
        "The gateway, or its credential, has a limit of calls at a time or in a second, and it is reached. Nothing was sent.",
        "Wait for the time in Retry-After and call again.";
    INTERNAL = 500 "internal",
        "Something went wrong on this server",
        "The cause is in the log of the server, under the id of the request.",
        "Try again. If it happens again, give the request id to the operator.";
    DESTINATION_BLOCKED = 502 "destination_blocked",
        "This server may not call the tool",
        "The egress rules of this server do not allow the address of the tool. Nothing was sent.",
        "The operator allows it in egress.allow, if it is meant to be reached.";
    TOOL_UNREACHABLE = 502 "tool_unreachable",
        "The tool cannot be reached",
        "No connection came about, it broke off before an answer began, or the answer came in an encoding that cannot be searched for secrets.",
        "The detail says which. If the request may have been processed, look in the tool before you send it again.";
    GATEWAY_PAUSED = 503 "gateway_paused",
        "The gateway is paused",
        "Somebody paused this gateway, or all sending. Nothing was sent.",
        "Call again when it was resumed.";
    CREDENTIAL_NOT_USABLE = 503 "credential_not_usable",
        "The credential of the gateway cannot be used",
        "It is missing, locked, was refused by the tool, or somebody must approve access. The member “reason” says which. Nothing was answered by the tool.",
        "Look at the credential in the console; its page says what to do.";
    LOCKED = 503 "locked",
        "The vault is locked",
        "The key that sealed the database is not loaded. Nothing is sent and nothing is changed.",
        "The operator loads the key that the page of this server names, and starts it again.";
    QUEUE_FULL = 503 "queue_full",
        "Too much arrives at once",
        "The queue of requests that wait for the disk is full. Nothing of this request was accepted.",
        "Wait for the time in Retry-After and send it again.";
    DRAINING = 503 "draining",
        "This server is stopping",
        "It finishes what runs and accepts nothing new. Nothing of this request was accepted.",
        "Wait for the time in Retry-After and send it again.";
    UNAVAILABLE = 503 "unavailable",
        "The database cannot be reached",
        "Whether this request was stored is not known. With an Idempotency-Key, sending it again tells.",
        "Wait for the time in Retry-After and send it again.";
    TOOL_TOO_SLOW = 504 "tool_too_slow",
        "The tool did not answer in time",
        "The tool took the call, and no answer began within the time of the gateway. It may have been processed.",
        "Look in the tool before you send it again, or raise the time for the first byte.";
    STORAGE_FULL = 507 "storage_full",
        "The disk is full",
        "Nothing of this request was stored. What was accepted before is safe and goes on being delivered.",
        "The operator makes room; Consign recovers by itself. Send it again after the time in Retry-After.";
}
