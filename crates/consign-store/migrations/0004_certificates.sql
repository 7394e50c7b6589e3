-- The last second in which a secret of a credential is good: that of the day that was typed, or of its certificate.
alter table credential add column ends_first text;
update credential set ends_first = ends_on || 'T23:59:59Z';
