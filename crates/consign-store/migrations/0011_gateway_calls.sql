-- Calls of applications through gateways, one row each, written after the call. `status` is what the application was answered
-- by the tool; `code` says what Consign itself answered, or how a call ended that did not end well.
-- Without `key_id` a person tried the gateway, and `key_name` is theirs.
create table gateway_call (
    id text primary key,
    connector_id text not null,
    key_id text,
    key_name text not null,
    started_at bigint not null,
    duration_ms bigint not null,
    method text not null,
    path text not null,
    status bigint,
    code text,
    request_bytes bigint not null,
    answer_bytes bigint not null,
    renewed bigint not null,
    hidden bigint not null
);
create index gateway_call_connector on gateway_call (connector_id, id);
