-- Where a connection test asks.
alter table credential add column test_path text;

-- The tokens of a credential, and whose turn it is to fetch the next ones. A generation is that of the tokens: it
-- rises whenever one is stored or dropped. `spending` is the generation whose refresh token is being spent: still
-- there without a lease, it tells of a program that did not survive the answer.
create table token (
    credential_id text primary key references credential (id) on delete cascade,
    generation bigint not null,
    sealed_access text,
    access_generation bigint,
    sealed_refresh text,
    refresh_generation bigint,
    obtained_at bigint,
    ends_at bigint,
    refresh_ends_at bigint,
    scope text,
    issuer text,
    life_ms bigint,
    fence bigint not null,
    lease_until bigint,
    lease_by text,
    spending bigint,
    forced_at bigint,
    failure text,
    failure_reason text,
    failures bigint not null,
    retry_at bigint
);
create index token_idle on token (obtained_at) where sealed_refresh is not null;

-- Someone was sent to a tool to approve access, and has not come back yet. Known by the hash of its state.
create table consent (
    state_hash text primary key,
    credential_id text not null references credential (id) on delete cascade,
    credential_revision bigint not null,
    session_hash text not null,
    redirect_url text not null,
    sealed_verifier text not null,
    created_at bigint not null
);
create index consent_age on consent (created_at);

-- The last connection tests of a credential.
create table credential_test (
    id text primary key,
    credential_id text not null references credential (id) on delete cascade,
    at bigint not null,
    tested_by text not null,
    outcome text not null,
    result text not null
);
create index credential_test_of on credential_test (credential_id, id);
