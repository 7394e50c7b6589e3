-- A file that comes in one request is on its way too, and does not go on after a cut.
alter table upload add column one_request bigint not null default 0;

-- More waited for an exporter than one file may hold: when such a run is done, the next one begins at once.
alter table run add column leaves_more bigint not null default 0;
create index run_goes_on on run (id) where leaves_more = 1 and state = 'done';
