//! Calls through gateways: may this key use this gateway, and is it a call that is passed on.

use consign_core::id::KeyId;
use http::{HeaderMap, Method};

use super::{Actor, ActorKind};
use crate::App;
use crate::engine::{Call, CallFault, Hangup, Ledger};

/// What an application asks for.
pub struct Asked<'a> {
    /// The part of the address that names a gateway.
    pub slug: &'a str,
    /// The method.
    pub method: &'a Method,
    /// Path and query below the gateway, as sent.
    pub target: &'a str,
    /// The headers, as sent.
    pub headers: &'a HeaderMap,
    /// The way to hang up on the application.
    pub hangup: Hangup,
}

/// Why a call is not begun.
#[derive(Debug)]
pub enum NotBegun {
    /// The key may call no gateway, or not this one.
    KeyNotAllowed,
    /// There is no such gateway.
    NoGateway,
    /// The method is not passed on; these are.
    Method(CallFault, Vec<Method>),
    /// Anything else about the call.
    Fault(CallFault),
}

/// Begins a call: from here on there is a record of it, whatever becomes of it.
///
/// # Errors
/// Why it is not passed on.
pub fn begin(app: &App, actor: &Actor, asked: Asked<'_>) -> Result<Call, NotBegun> {
    let snapshot = app.engine.snapshot();
    let (id, name) = key_of(actor).ok_or(NotBegun::KeyNotAllowed)?;
    let key = snapshot.key(id).filter(|key| key.may_call_any()).ok_or(NotBegun::KeyNotAllowed)?;
    let connector = snapshot.gateway(asked.slug).ok_or(NotBegun::NoGateway)?;
    let gateway = connector.gateway().ok_or(NotBegun::NoGateway)?;
    if !key.may_call(connector.id) || !gateway.takes_key(id) {
        return Err(NotBegun::KeyNotAllowed);
    }
    let Asked { method, target, headers, hangup, .. } = asked;
    let mut ledger = Ledger::begin(&app.engine, connector, (id, name), method, target, hangup);
    let admitted = gateway.admit(method, target);
    match admitted.and_then(|path| gateway.admit_headers(headers).map(|()| path)) {
        Ok(path) => Ok(Call {
            connector: connector.clone(),
            method: method.clone(),
            path,
            headers: headers.clone(),
            ledger,
        }),
        Err(why) => {
            let fault = CallFault::NotAllowed(why);
            ledger.refused(fault.code());
            Err(if why.is_of_method() {
                NotBegun::Method(fault, gateway.methods.clone())
            } else {
                NotBegun::Fault(fault)
            })
        }
    }
}

fn key_of(actor: &Actor) -> Option<(KeyId, &str)> {
    match &actor.kind {
        ActorKind::Key { id, name } => Some((*id, name)),
        ActorKind::User { .. } | ActorKind::System => None,
    }
}
