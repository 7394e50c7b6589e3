-- When an exporter runs next, how many runs it has had, and when one was last done.
alter table connector add column next_run_at bigint;
alter table connector add column runs_started bigint not null default 0;
alter table connector add column last_done_at bigint;

-- One execution of an exporter. `source_id` tells whose records it sends: its own, or those of the run it repeats.
-- `made_bytes` and `made_at` are the size of a file that may have its final name although no answer came, and when its
-- server wrote it, in seconds.
-- `base_name` is the name of its file before it got a number: files of one base name keep their order. `hold_reason` is why the
-- run itself waits for a person.
-- `sent_to` is the last record that arrived; `owes` is 1 for an end after which the next run takes the rest.
-- `sealed_set_up` is what the run is made by, as it was when it began, under the payload key of that day; `exporter_revision`
-- tells of which edit of the exporter that is.
create table run (
    id text primary key,
    connector_id text not null,
    number bigint not null,
    cause text not null,
    started_by text not null,
    source_id text not null,
    protocol text not null,
    exporter_revision bigint not null,
    payload_key bigint not null,
    sealed_set_up blob,
    file_name text not null,
    base_name text not null,
    content_type text,
    digest text,
    file_bytes bigint,
    made_bytes bigint,
    made_at bigint,
    state text not null,
    hold_reason text,
    step text not null,
    collect_to text,
    collected bigint not null,
    records bigint not null,
    sent_records bigint not null,
    sent_bytes bigint not null,
    requests bigint not null,
    sent_to text not null,
    owes bigint not null,
    payloads_kept bigint not null,
    due_at bigint not null,
    attempts bigint not null,
    crashes bigint not null,
    throttled_since bigint,
    lease_until bigint,
    lease_by text,
    fence bigint not null,
    outcome text,
    message text,
    created_at bigint not null,
    started_at bigint,
    ended_at bigint
);
create index run_by_connector on run (connector_id, id);
create index run_by_number on run (connector_id, number);
create index run_open on run (connector_id, number) where state = 'open';
create index run_open_of_records on run (connector_id, number) where state = 'open' and digest is null;
create index run_open_of_file on run (connector_id, base_name, number) where state = 'open' and digest is not null;
create index run_undecided on run (id) where hold_reason is not null;
create index run_owing on run (connector_id, id) where owes = 1;
create index run_source on run (source_id);
create index run_last_ended on run (connector_id, ended_at, number) where ended_at is not null;
create index run_ended on run (ended_at) where ended_at is not null;
create index run_kept on run (ended_at) where payloads_kept = 1 and owes = 0 and ended_at is not null;
create index run_payload on run (payload_key) where sealed_set_up is not null;

-- What an exporter is to send: an event by its id, or what was pushed. Without a run it waits for the next one.
create table run_record (
    id text not null,
    connector_id text not null,
    run_id text,
    payload_key bigint not null,
    sealed_data blob,
    primary key (id, connector_id)
);
create index run_record_of on run_record (connector_id, run_id, id);
create index run_record_payload on run_record (payload_key) where sealed_data is not null;

-- A file that a run brought, for exporters that keep so many of theirs: what may be taken away again later, and nothing else.
-- `place` is the server, the sign-in and the folder.
create table run_file (
    connector_id text not null,
    place text not null,
    file_name text not null,
    number bigint not null,
    bytes bigint not null,
    made_at bigint,
    primary key (connector_id, place, file_name)
);

-- A file that is being pushed piece by piece. `run_id` is the run that it will be; `pieces` of it are stored, `bytes` long.
create table upload (
    id text primary key,
    run_id text not null unique,
    connector_id text not null,
    file_name text not null,
    content_type text not null,
    announced_bytes bigint,
    announced_digest text,
    created_by text not null,
    pieces bigint not null,
    bytes bigint not null,
    digest_state blob,
    fence bigint not null,
    complete bigint not null,
    created_at bigint not null,
    touched_at bigint not null
);
create index upload_touched on upload (touched_at);
create index upload_open on upload (connector_id) where complete = 0;

-- The pieces of a pushed file.
create table run_chunk (
    run_id text not null,
    number bigint not null,
    payload_key bigint not null,
    sealed_data blob not null,
    primary key (run_id, number)
);
create index run_chunk_payload on run_chunk (payload_key);

create table run_log (
    run_id text not null,
    id text not null,
    at bigint not null,
    line text not null,
    primary key (run_id, id)
);
