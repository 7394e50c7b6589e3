//! Calls through gateways: may this key, or this person, use this gateway, and is it a call that is passed on.

use consign_core::id::KeyId;
use consign_core::rights::Right;
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
    let (key, name) = caller(actor).ok_or(NotBegun::KeyNotAllowed)?;
    let known =
        key.map(|id| snapshot.key(id).filter(|key| key.may_call_any()).ok_or(NotBegun::KeyNotAllowed));
    let known = known.transpose()?;
    // A key that was made for some gateways learns of no other one, not even that there is none.
    let nowhere = || match known {
        Some(key) if !key.gateways.is_empty() => NotBegun::KeyNotAllowed,
        _ => NotBegun::NoGateway,
    };
    let connector = snapshot.gateway(asked.slug).ok_or_else(nowhere)?;
    let gateway = connector.gateway().ok_or_else(nowhere)?;
    if known.is_some_and(|key| !key.may_call(connector.id) || !gateway.takes_key(key.id)) {
        return Err(NotBegun::KeyNotAllowed);
    }
    let Asked { method, target, headers, hangup, .. } = asked;
    let mut ledger = Ledger::begin(&app.engine, connector, (key, name), method, target, hangup);
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

/// Who calls: an API key, or a person with the right, whom no gateway names.
fn caller(actor: &Actor) -> Option<(Option<KeyId>, &str)> {
    match &actor.kind {
        ActorKind::Key { id, name } => Some((Some(*id), name.as_str())),
        ActorKind::User { name, .. } => {
            actor.rights.allow(Right::GatewayCall).then_some((None, name.as_str()))
        }
        ActorKind::System => None,
    }
}
