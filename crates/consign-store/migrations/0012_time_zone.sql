-- The time zone that a person chose for exact times; empty for that of the installation.
alter table users add column time_zone text not null default '';
