-- Processes that share this database, by the name that their leases bear. Whoever is no longer seen goes.
create table replica (
    id text primary key,
    host text not null,
    version text not null,
    role text not null,
    process bigint not null,
    started_at bigint not null,
    seen_at bigint not null,
    sealing_key text not null
);
