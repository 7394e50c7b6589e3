//! The names of all metrics, what each one counts, and the buckets of histograms. Whoever acts records.

/// `outcome`: accepted, duplicate, unmatched, refused.
pub const EVENTS_RECEIVED: &str = "consign_events_received_total";
/// `connector_kind`, `outcome`: delivered, failed, cancelled.
pub const DELIVERIES: &str = "consign_deliveries_total";
/// `connector_kind`, `outcome`: accepted, rejected, unanswered, unreachable, refused.
pub const DELIVERY_ATTEMPTS: &str = "consign_delivery_attempts_total";
/// `connector_kind`.
pub const DELIVERY_ATTEMPT_DURATION: &str = "consign_delivery_attempt_duration_seconds";
/// `connector_kind`.
pub const DELIVERY_LAG: &str = "consign_delivery_lag_seconds";
/// `state`: pending, held; `hold_reason`.
pub const DELIVERIES_OPEN: &str = "consign_deliveries_open";
/// No labels.
pub const DELIVERY_OLDEST_OPEN: &str = "consign_delivery_oldest_open_seconds";
/// `kind`, `state`.
pub const CONNECTORS: &str = "consign_connectors";
/// `outcome`: done, failed.
pub const EXPORTER_RUNS: &str = "consign_exporter_runs_total";
/// No labels.
pub const EXPORTER_ROWS: &str = "consign_exporter_rows_total";
/// No labels.
pub const EXPORTER_BYTES: &str = "consign_exporter_bytes_total";
/// `exporter`: its id. One row for each exporter of which a run was done, rendered anew for each scrape.
pub const EXPORTER_LAST_SUCCESS: &str = "consign_exporter_last_success_timestamp_seconds";
/// `method`; `outcome`: ok, http_4xx, http_5xx, cut, client_gone, or the code of an own answer.
pub const GATEWAY_CALLS: &str = "consign_gateway_calls_total";
/// No labels.
pub const GATEWAY_CALL_DURATION: &str = "consign_gateway_call_duration_seconds";
/// `direction`: request, answer.
pub const GATEWAY_BYTES: &str = "consign_gateway_bytes_total";
/// `rule`.
pub const EGRESS_BLOCKED: &str = "consign_egress_blocked_total";
/// No labels.
pub const COMMIT_BATCH_SIZE: &str = "consign_commit_batch_size";
/// `table`.
pub const RETENTION_DELETED_ROWS: &str = "consign_retention_deleted_rows_total";
/// `outcome`: done, refused, braked.
pub const SIGN_INS: &str = "consign_signin_total";
/// `grant`; `outcome`: ok, transient, refused, grant_ended, blocked.
pub const TOKEN_REQUESTS: &str = "consign_token_requests_total";
/// `status`.
pub const CREDENTIALS: &str = "consign_credentials";
/// `credential`: its id. One row for each credential with an end, rendered anew for each scrape.
pub const CREDENTIAL_SECONDS_UNTIL_END: &str = "consign_credential_seconds_until_end";
/// No labels.
pub const BACKUP_LAST_SUCCESS: &str = "consign_backup_last_success_timestamp_seconds";
/// `version`, `commit`, `database`.
pub const BUILD_INFO: &str = "consign_build_info";
/// `method`, `route`, `status`.
pub const HTTP_SERVER_DURATION: &str = "http_server_request_duration_seconds";
/// No labels.
pub const PROCESS_RESIDENT_MEMORY_BYTES: &str = "process_resident_memory_bytes";
/// No labels.
pub const PROCESS_CPU_SECONDS: &str = "process_cpu_seconds_total";
/// No labels.
pub const PROCESS_OPEN_FDS: &str = "process_open_fds";

pub(super) const COUNTERS: &[(&str, &str)] = &[
    (EVENTS_RECEIVED, "Events received, by what became of them"),
    (DELIVERIES, "Deliveries that ended, by how"),
    (DELIVERY_ATTEMPTS, "Attempts of deliveries, by what was seen"),
    (EXPORTER_RUNS, "Runs of exporters that ended, by how"),
    (EXPORTER_ROWS, "Records of exporters that arrived"),
    (EXPORTER_BYTES, "Bytes of exporters that arrived"),
    (GATEWAY_CALLS, "Calls through gateways, by how they ended"),
    (GATEWAY_BYTES, "Bytes of bodies that went through gateways"),
    (EGRESS_BLOCKED, "Requests that the egress rules stopped"),
    (RETENTION_DELETED_ROWS, "Rows deleted because they were old"),
    (TOKEN_REQUESTS, "Token requests, by what was answered"),
    (SIGN_INS, "Tries to sign in to the console"),
];

pub(super) const GAUGES: &[(&str, &str)] = &[
    (BUILD_INFO, "1; the labels tell which Consign runs"),
    (DELIVERIES_OPEN, "Deliveries that have not ended"),
    (DELIVERY_OLDEST_OPEN, "Age of the oldest delivery that has not ended"),
    (CONNECTORS, "Connectors, by state"),
    (CREDENTIALS, "Credentials, by status"),
    (BACKUP_LAST_SUCCESS, "When the last backup was made"),
    (PROCESS_RESIDENT_MEMORY_BYTES, "Memory in use"),
    (PROCESS_CPU_SECONDS, "Processor time used so far"),
    (PROCESS_OPEN_FDS, "Open files and connections"),
];

pub(super) const HISTOGRAMS: &[(&str, &str)] = &[
    (DELIVERY_ATTEMPT_DURATION, "How long an attempt took"),
    (GATEWAY_CALL_DURATION, "How long a call through a gateway took, to its last byte"),
    (DELIVERY_LAG, "From acceptance of an event to its delivery"),
    (COMMIT_BATCH_SIZE, "Jobs that shared one commit"),
    (HTTP_SERVER_DURATION, "Requests to this server"),
];

/// From a kept connection on loopback to the longest time-out of a webhook.
const REQUEST_SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0];
/// From at once to the end of the retry schedule.
const LAG_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0,
    259_200.0,
];
const BATCH_JOBS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

pub(super) const BUCKETS: &[(&str, &[f64])] = &[
    (DELIVERY_ATTEMPT_DURATION, REQUEST_SECONDS),
    (GATEWAY_CALL_DURATION, REQUEST_SECONDS),
    (DELIVERY_LAG, LAG_SECONDS),
    (COMMIT_BATCH_SIZE, BATCH_JOBS),
    (HTTP_SERVER_DURATION, REQUEST_SECONDS),
];
