-- What a person may do, whether they may sign in, and the second step of signing in. Whoever was there before
-- there were roles is an administrator. `totp_step` is the last step whose code was used.
alter table users add column role text not null default 'administrator';
alter table users add column suspended_at bigint;
alter table users add column invite_hash text;
alter table users add column invite_until bigint;
alter table users add column totp text;
alter table users add column totp_at bigint;
alter table users add column recovery_codes text;
alter table users add column totp_step bigint;
alter table users add column revision bigint not null default 1;
create unique index users_invite on users (invite_hash) where invite_hash is not null;

-- Somebody's password was right and their code is still missing. Known by the hash of its token.
create table second_step (
    hash text primary key,
    user_id text not null references users (id) on delete cascade,
    created_at bigint not null,
    proof text not null
);
