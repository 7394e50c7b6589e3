-- Who a person is at the provider that signs them in.
alter table users add column oidc_issuer text;
alter table users add column oidc_subject text;
create unique index users_oidc on users (oidc_issuer, oidc_subject) where oidc_subject is not null;

-- What people were told, one row for each object and reason, until the reason is gone. `retry_at` is when its mail is
-- due; absent once it was sent, or when nobody is mailed.
create table notice (
    key text primary key,
    kind text not null,
    said text not null,
    began_at bigint not null,
    retry_at bigint,
    tries bigint not null,
    failure text
);
create index notice_due on notice (retry_at) where retry_at is not null;
