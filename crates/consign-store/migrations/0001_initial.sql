-- Ids and words are text, times are milliseconds since 1970, JSON and sealed secrets are text, yes and no are
-- 1 and 0.

create table installation (
    key text primary key,
    value text not null
);

-- Rises with every change of a connector, a credential or an API key.
create table revision (
    one bigint primary key,
    number bigint not null
);
insert into revision (one, number) values (1, 0);

create table payload_key (
    id bigint primary key,
    sealed text not null,
    created_at bigint not null
);

create table credential (
    id text primary key,
    name text not null,
    name_key text not null,
    origin text not null,
    authorization_type text not null,
    plain text not null,
    custom_headers text not null,
    ends_on text,
    labels text not null,
    max_concurrency bigint,
    max_per_second bigint,
    seen_code text not null,
    seen_reason text not null,
    seen_since bigint not null,
    last_used_at bigint,
    created_at bigint not null,
    updated_at bigint not null,
    revision bigint not null
);
create unique index credential_name on credential (name_key);

create table credential_secret (
    credential_id text not null references credential (id) on delete cascade,
    field text not null,
    sealed text not null,
    generation bigint not null,
    updated_at bigint not null,
    updated_by text not null,
    primary key (credential_id, field)
);

create table connector (
    id text primary key,
    name text not null,
    name_key text not null,
    description text not null,
    kind text not null,
    credential_id text,
    lost_credential text,
    settings text not null,
    in_flight_max bigint not null,
    state text not null,
    state_reason text not null,
    state_since bigint not null,
    closed_until bigint,
    failing_since bigint,
    created_at bigint not null,
    updated_at bigint not null,
    revision bigint not null,
    -- The address part of a gateway, which its settings hold too.
    slug text
);
create unique index connector_name on connector (name_key);
create unique index connector_slug on connector (slug);
create index connector_credential on connector (credential_id);

-- The payload stands last: lists read the columns before it without touching it.
create table event (
    id text primary key,
    event_type text not null,
    source text not null,
    source_id text not null,
    subject text,
    time bigint not null,
    content_type text not null,
    extensions text,
    received_at bigint not null,
    received_from text not null,
    test bigint not null,
    deliveries bigint not null,
    payload_key bigint not null,
    sealed_data blob
);
create unique index event_source on event (source, source_id);
create index event_by_type on event (event_type, id);
create index event_unmatched on event (id) where deliveries = 0;
-- In the order of ids, so that rows are added at its end: a text is looked for in it without the rows.
create index event_subject on event (id, subject) where subject is not null;
create index event_payload on event (payload_key, id) where sealed_data is not null;

create table delivery (
    id text primary key,
    event_id text not null,
    connector_id text not null,
    state text not null,
    due_at bigint not null,
    attempts bigint not null,
    crashes bigint not null,
    hold_reason text,
    lease_until bigint,
    lease_by text,
    fence bigint not null,
    idempotency_key text not null,
    replay_of text,
    test bigint not null,
    order_key text,
    last_outcome text,
    last_status bigint,
    last_message text,
    reference text,
    created_at bigint not null,
    ended_at bigint
);
create index delivery_due on delivery (connector_id, due_at) where state = 'pending';
create index delivery_lease on delivery (connector_id, lease_until) where lease_until is not null;
create index delivery_order on delivery (connector_id, order_key, id)
    where order_key is not null and state in ('pending', 'held');
create index delivery_by_connector on delivery (connector_id, id);
create index delivery_by_state on delivery (state, id) where state <> 'delivered';
create index delivery_by_event on delivery (event_id);
create index delivery_ended on delivery (connector_id, ended_at, state) where ended_at is not null;
create index delivery_reference on delivery (id, reference) where reference is not null;
create index delivery_replay on delivery (replay_of) where replay_of is not null;

create table attempt (
    delivery_id text not null,
    id text not null,
    connector_id text not null,
    number bigint not null,
    started_at bigint not null,
    duration_ms bigint not null,
    outcome text not null,
    status bigint,
    message text,
    wait_ms bigint,
    request_line text not null,
    request_headers text not null,
    answer_headers text not null,
    timing text not null,
    request_bytes bigint not null,
    answer_bytes bigint not null,
    payload_key bigint not null,
    answer_excerpt blob,
    primary key (delivery_id, id)
);

create table users (
    id text primary key,
    name text not null,
    email text not null,
    email_key text not null,
    password_hash text not null,
    theme text not null,
    created_at bigint not null,
    last_seen_at bigint
);
create unique index users_email on users (email_key);

create table session (
    hash text primary key,
    user_id text not null references users (id) on delete cascade,
    csrf text not null,
    created_at bigint not null,
    seen_at bigint not null,
    pending text,
    proof text not null
);

create table api_key (
    id text primary key,
    name text not null,
    rights text not null,
    -- Ids of the only gateways that it may call; null: no limit.
    gateways text,
    hash text not null,
    ends_at bigint,
    last_used_at bigint,
    created_at bigint not null
);

create table idempotency (
    caller text not null,
    key text not null,
    fingerprint text not null,
    status bigint,
    body text,
    created_at bigint not null,
    primary key (caller, key)
);
create index idempotency_age on idempotency (created_at);

create table audit (
    sequence bigint primary key,
    object_id text not null,
    actor_id text not null,
    at bigint not null,
    stored text not null,
    link text not null
);
create index audit_object on audit (object_id, sequence);
create index audit_actor on audit (actor_id, sequence);

-- The newest link. Its row is locked while an entry is appended, so that the chain has no fork.
create table audit_head (
    one bigint primary key,
    sequence bigint not null,
    link text not null
);
insert into audit_head (one, sequence, link) values (1, 0, '');
