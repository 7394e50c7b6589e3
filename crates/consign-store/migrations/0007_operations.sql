-- Long work: what is done, how far it is, and where it goes on after a restart.
create table operation (
    id text primary key,
    kind text not null,
    state text not null,
    done bigint not null,
    total bigint not null,
    settings text not null,
    place text not null,
    due_at bigint not null,
    started_by text not null,
    started_at bigint not null,
    ended_at bigint,
    problem text not null
);
create index operation_due on operation (due_at) where state = 'running';
create index operation_of_kind on operation (kind, id);

-- What an operation sends again.
alter table delivery add column operation_id text;
create index delivery_operation on delivery (operation_id, state) where operation_id is not null;
