-- What lists are filtered by: where nothing has a label or a manager, nothing is read. Labels may be too long for an index.
create index credential_labels on credential (id) where labels <> '{}';
create index credential_manager on credential (managed_by) where managed_by is not null;
create index connector_manager on connector (kind, managed_by) where managed_by is not null;
-- What failed is read from this alone, the newest first, for the overview tells it by connector.
create index delivery_failed on delivery (id, connector_id, ended_at, state) where state = 'failed';
