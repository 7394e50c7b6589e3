-- Networks that an API key may be used from, with spaces between; null: from everywhere. And where it was used last.
alter table api_key add column allowed_from text;
alter table api_key add column last_used_from text;
