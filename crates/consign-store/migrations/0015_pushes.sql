-- A file that comes in one request is on its way too, and does not go on after a cut.
alter table upload add column one_request bigint not null default 0;
