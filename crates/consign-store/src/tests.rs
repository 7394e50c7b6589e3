//! The conformance suite: written once over [`Store`], run on SQLite and on PostgreSQL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::{Connector, ConnectorState, Kind, WebhookDraft};
use consign_core::credential::{Credential, CustomHeader, SentWith, Status, StoredSecret};
use consign_core::delivery::DeliveryState;
use consign_core::event::Event;
use consign_core::id::{AttemptId, ConnectorId, CredentialId, DeliveryId, EventId, UserId};
use consign_core::name::Name;
use consign_core::role::Role;
use consign_core::target::{Origin, Target};
use consign_core::time::Timestamp;
use consign_core::vault::Sealed;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::attempts::Attempt;
use crate::deliveries::{Claimed, Recording};
use crate::events::{Accepted, NewDelivery, NewRow};
use crate::users::User;
use crate::{DatabaseUrl, Store, connectors, events};

mod again;
mod audit;
mod backup;
mod decisions;
mod events_of;
mod exporters;
mod gateways;
