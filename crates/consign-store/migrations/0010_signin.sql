-- Who a person is at the provider that signs them in.
alter table users add column oidc_issuer text;
alter table users add column oidc_subject text;
create unique index users_oidc on users (oidc_issuer, oidc_subject) where oidc_subject is not null;

-- What people were told, one row for each object and reason, until the reason is gone (`over`) and nothing of it is owed.
-- `retry_at` is when its mail is due; absent once that is done, or when nobody is mailed. `taken_by` is the process that
-- mails it now. `owes_event` is 1 until its event is stored.
create table notice (
    key text primary key,
    kind text not null,
    said text not null,
    began_at bigint not null,
    retry_at bigint,
    taken_by text,
    tries bigint not null,
    failure text,
    owes_event bigint not null,
    over bigint not null
);
create index notice_due on notice (retry_at) where retry_at is not null;

-- To whom the mail of a notice is settled: the mail server took it, or refused it for good (`refusal`).
create table notice_mail (
    key text not null,
    email text not null,
    refusal text,
    primary key (key, email)
);
