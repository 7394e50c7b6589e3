-- The name under which a file is applied that manages the object; null: nobody manages it from a file.
alter table credential add column managed_by text;
alter table connector add column managed_by text;
