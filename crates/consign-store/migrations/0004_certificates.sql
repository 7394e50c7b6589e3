-- The first day on which a secret of a credential ends: as typed, or that of its certificate.
alter table credential add column ends_first text;
update credential set ends_first = ends_on;
