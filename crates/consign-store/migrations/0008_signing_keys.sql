-- What the requests of webhooks are signed with. The newest one without an end is in use; one with an end signs beside
-- it until then.
create table signing_key (
    connector_id text not null references connector (id) on delete cascade,
    generation bigint not null,
    kind text not null,
    sealed text not null,
    created_at bigint not null,
    ends_at bigint,
    primary key (connector_id, generation)
);
