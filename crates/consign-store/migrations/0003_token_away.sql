-- Nothing is sent with the credential before this time: there is no token, and its address may not be asked.
alter table token add column away_until bigint;
