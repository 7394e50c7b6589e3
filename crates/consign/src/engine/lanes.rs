//! Lanes: each connector's share of the work, in memory. Who may start now, and whose turn it is.
//!
//! A lane holds a *window* of deliveries that are leased to this process, oldest first. At most the connector's own
//! limit of them is under way; a lane whose tool keeps failing goes one at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consign_core::connector::{Connector, Gateway, Webhook, WhenNoAnswer};
use consign_core::credential::{Credential, Rate};
use consign_core::id::{ConnectorId, CredentialId, DeliveryId};
use consign_core::time::Timestamp;

use super::snapshot::is_open;
use super::work::Work;

/// Leased ahead for each delivery that may be under way.
const WINDOW_PER_PLACE: u32 = 16;
const WINDOW_MAX: u32 = 512;
/// So many failures of the tool in a row make a lane slow.
const SLOW_AFTER_FAILURES: u32 = 5;
/// A lease must outlast the attempt by this much, or the delivery goes back to the queue.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// What a lane gives to whoever asks for its next delivery.
pub(super) enum Turn {
    /// Send this.
    Start(Work),
    /// Its rate, or that of its credential, asks to wait until then.
    WaitUntil(Timestamp),
    /// Nothing now.
    Nothing,
}

/// What became of the wish for a place outside the lanes.
pub(super) enum Borrowed {
    /// It is taken.
    Place,
    /// Its rate, or that of its credential, asks to wait until then.
    WaitUntil(Timestamp),
    /// The credential has no place left.
    Full,
    /// The process is stopping.
    Stopping,
}

/// Why a call may not begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All places of the gateway, or of its credential, are taken.
    Full,
    /// Its rate, or that of its credential, asks to wait until then.
    WaitUntil(Timestamp),
}

/// All lanes of this process.
#[derive(Default)]
pub(super) struct Lanes {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    lanes: HashMap<ConnectorId, Lane>,
    gates: HashMap<CredentialId, Gate>,
    /// The calls of each gateway.
    calls: HashMap<ConnectorId, Gate>,
    under_way: usize,
    /// A lane had work when every place of the process was taken.
    starved: bool,
    stopping: bool,
    /// A person paused all sending.
    paused: bool,
}

#[derive(Default)]
struct Lane {
    window: VecDeque<Work>,
    /// Promised to events whose commit is still under way.
    reserved: u32,
    under_way: HashSet<DeliveryId>,
    failures: u32,
    pace: Pace,
    /// The table holds due work that is not in the window.
    behind: bool,
    /// Said so again since the last claim began, which may not have seen it.
    noted: bool,
    timer: bool,
}

/// What counts against the limits that a credential sets for all its connectors together, or a gateway for its calls.
#[derive(Default)]
struct Gate {
    under_way: u32,
    pace: Pace,
}

/// A token bucket of one second.
#[derive(Default)]
struct Pace {
    /// When the next one may start, in thousandths of a millisecond.
    next: i64,
}

impl Pace {
    fn ready_at(&self, rate: Option<Rate>, now: Timestamp) -> Option<Timestamp> {
        // A burst of one second's worth is let through, the one that is asked for included.
        let burst = (1_000_000 - step(rate?)).max(0);
        let next = Timestamp::from_millis((self.next - burst).div_euclid(1_000));
        (next > now).then_some(next)
    }

    fn take(&mut self, rate: Option<Rate>, now: Timestamp) {
        let Some(rate) = rate else { return };
        self.next = self.next.max(now.millis() * 1_000) + step(rate);
    }
}

/// From one to the next at a steady pace, in thousandths of a millisecond.
fn step(rate: Rate) -> i64 {
    1_000_000_000_i64 / i64::from(rate.thousandths())
}

/// What a lane has to know of its connector.
pub(super) struct Rules<'a> {
    /// The connector.
    pub connector: &'a Connector,
    /// What it sends.
    pub webhook: &'a Webhook,
    /// Its credential.
    pub credential: Option<&'a Credential>,
    /// The most attempts of this process.
    pub attempts_max: usize,
}

impl Rules<'_> {
    fn places(&self, lane: &Lane) -> u32 {
        if lane.failures >= SLOW_AFTER_FAILURES { 1 } else { self.webhook.max_concurrency }
    }

    /// How many deliveries may be leased to this process. A webhook that asks a person when no answer comes
    /// leases only what it sends, so that a crash leaves nothing in doubt that never left.
    fn window(&self, lane: &Lane) -> u32 {
        let places = self.places(lane);
        let careful = self.webhook.when_no_answer == WhenNoAnswer::Hold;
        if careful || lane.failures > 0 { places } else { (places * WINDOW_PER_PLACE).min(WINDOW_MAX) }
    }
}

impl Lanes {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises a place in the window to an event that is about to be stored. Older work goes first, so a lane
    /// that is behind promises nothing.
    pub(super) fn reserve(&self, rules: &Rules<'_>, now: Timestamp) -> bool {
        let mut table = self.table();
        if table.stopping || table.paused || !is_open(rules.connector, now) {
            return false;
        }
        let lane = table.lanes.entry(rules.connector.id).or_default();
        let room = lane.room(rules.window(lane));
        if lane.behind || room == 0 {
            lane.behind = true;
            return false;
        }
        lane.reserved += 1;
        true
    }

    /// The event was stored: its delivery takes the promised place, unless the process is stopping.
    pub(super) fn fill(&self, work: Work) -> Option<Work> {
        let mut table = self.table();
        let stopping = table.stopping;
        let lane = table.lanes.entry(work.connector).or_default();
        lane.reserved = lane.reserved.saturating_sub(1);
        if stopping {
            return Some(work);
        }
        lane.window.push_back(work);
        None
    }

    /// The event was not stored, or was a repeat.
    pub(super) fn release(&self, connector: ConnectorId) {
        let mut table = self.table();
        let lane = table.lanes.entry(connector).or_default();
        lane.reserved = lane.reserved.saturating_sub(1);
    }

    /// The table holds due work for this lane.
    pub(super) fn note_behind(&self, connector: ConnectorId) {
        let mut table = self.table();
        let lane = table.lanes.entry(connector).or_default();
        lane.behind = true;
        lane.noted = true;
    }

    /// How many more a claim may lease for this lane; nothing while at least half of its window is full.
    pub(super) fn claimable(&self, rules: &Rules<'_>, now: Timestamp) -> u32 {
        let mut table = self.table();
        if table.stopping || table.paused || !is_open(rules.connector, now) {
            return 0;
        }
        let lane = table.lanes.get_mut(&rules.connector.id).filter(|lane| lane.behind);
        let Some(lane) = lane else { return 0 };
        let window = rules.window(lane);
        let room = lane.room(window);
        if room * 2 < window {
            return 0;
        }
        lane.noted = false;
        room
    }

    /// Takes in what a claim leased; fewer than asked for means that nothing due was left when it looked. All of it
    /// comes back when the process is stopping. What was accepted while the lane closed can be in the window already,
    /// and older work comes now.
    pub(super) fn take_in(&self, connector: ConnectorId, claimed: Vec<Work>, asked: u32) -> Vec<Work> {
        let mut table = self.table();
        if table.stopping {
            return claimed;
        }
        let lane = table.lanes.entry(connector).or_default();
        lane.behind = lane.noted || claimed.len() >= usize::try_from(asked).unwrap_or(usize::MAX);
        lane.window.extend(claimed);
        lane.window.make_contiguous().sort_by_key(|work| work.due_at);
        Vec::new()
    }

    /// Takes a place for a delivery that is sent whatever the state of its lane; `false` when the process is
    /// stopping.
    pub(super) fn take_place(&self, work: &Work, credential: CredentialId) -> bool {
        let mut table = self.table();
        if table.stopping {
            return false;
        }
        table.under_way += 1;
        table.gates.entry(credential).or_default().under_way += 1;
        table.lanes.entry(work.connector).or_default().under_way.insert(work.delivery);
        true
    }

    /// Takes a place of the process for a request of a run, within the limits of its credential and its own pace.
    pub(super) fn borrow(
        &self,
        connector: ConnectorId,
        rate: Option<Rate>,
        credential: &Credential,
        now: Timestamp,
    ) -> Borrowed {
        let mut table = self.table();
        let table = &mut *table;
        if table.stopping {
            return Borrowed::Stopping;
        }
        let lane = table.lanes.entry(connector).or_default();
        let gate = table.gates.entry(credential.id).or_default();
        if credential.max_concurrency.is_some_and(|places| gate.under_way >= places) {
            return Borrowed::Full;
        }
        let gate_ready = gate.pace.ready_at(credential.max_per_second, now);
        if let Some(ready) = lane.pace.ready_at(rate, now).max(gate_ready) {
            return Borrowed::WaitUntil(ready);
        }
        lane.pace.take(rate, now);
        gate.pace.take(credential.max_per_second, now);
        gate.under_way += 1;
        table.under_way += 1;
        Borrowed::Place
    }

    /// A request of a run has ended.
    pub(super) fn end_borrowing(&self, credential: CredentialId) {
        let mut table = self.table();
        table.under_way = table.under_way.saturating_sub(1);
        if let Some(gate) = table.gates.get_mut(&credential) {
            gate.under_way = gate.under_way.saturating_sub(1);
        }
    }

    /// Takes a place for a call, within the limits of its gateway and of its credential. Calls do not wait, so they take
    /// no place of the process from deliveries, and the slowness of a lane is none of theirs.
    ///
    /// # Errors
    /// What it would have to wait for.
    pub(super) fn begin_call(
        &self,
        connector: ConnectorId,
        gateway: &Gateway,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<(), NoPlace> {
        let mut table = self.table();
        let table = &mut *table;
        let calls = table.calls.entry(connector).or_default();
        let gate = table.gates.entry(credential.id).or_default();
        let gate_full = credential.max_concurrency.is_some_and(|places| gate.under_way >= places);
        if gate_full || calls.under_way >= gateway.max_concurrency {
            return Err(NoPlace::Full);
        }
        let gate_ready = gate.pace.ready_at(credential.max_per_second, now);
        if let Some(ready) = calls.pace.ready_at(gateway.max_per_second, now).max(gate_ready) {
            return Err(NoPlace::WaitUntil(ready));
        }
        calls.pace.take(gateway.max_per_second, now);
        gate.pace.take(credential.max_per_second, now);
        calls.under_way += 1;
        gate.under_way += 1;
        Ok(())
    }

    /// A call has ended.
    pub(super) fn end_call(&self, connector: ConnectorId, credential: CredentialId) {
        let mut table = self.table();
        let table = &mut *table;
        let counted = table.calls.get_mut(&connector).into_iter().chain(table.gates.get_mut(&credential));
        for gate in counted {
            gate.under_way = gate.under_way.saturating_sub(1);
        }
    }

    /// Whether a lane found all places of the process taken since this was last asked.
    pub(super) fn take_starved(&self) -> bool {
        std::mem::take(&mut self.table().starved)
    }

    /// The lane's next delivery, if it may start now.
    pub(super) fn next(&self, rules: &Rules<'_>, now: Timestamp) -> Turn {
        let mut table = self.table();
        let table = &mut *table;
        if table.stopping || table.paused || !is_open(rules.connector, now) {
            return Turn::Nothing;
        }
        let Some(lane) = table.lanes.get_mut(&rules.connector.id) else { return Turn::Nothing };
        if table.under_way >= rules.attempts_max {
            table.starved |= !lane.window.is_empty();
            return Turn::Nothing;
        }
        let gate = rules.credential.map(|credential| table.gates.entry(credential.id).or_default());
        let under_way = u32::try_from(lane.under_way.len()).unwrap_or(u32::MAX);
        if lane.window.is_empty() || under_way >= rules.places(lane) {
            return Turn::Nothing;
        }
        let limits =
            rules.credential.map(|credential| (credential.max_concurrency, credential.max_per_second));
        let (gate_places, gate_rate) = limits.unwrap_or_default();
        let rate = rules.webhook.max_per_second;
        let gate_full = match (&gate, gate_places) {
            (Some(gate), Some(places)) => gate.under_way >= places,
            _ => false,
        };
        if gate_full {
            return Turn::Nothing;
        }
        let ready = lane.pace.ready_at(rate, now);
        let ready = ready.max(gate.as_ref().and_then(|gate| gate.pace.ready_at(gate_rate, now)));
        if let Some(ready) = ready {
            return if std::mem::replace(&mut lane.timer, true) {
                Turn::Nothing
            } else {
                Turn::WaitUntil(ready)
            };
        }
        let Some(work) = lane.window.pop_front() else { return Turn::Nothing };
        lane.pace.take(rate, now);
        lane.under_way.insert(work.delivery);
        table.under_way += 1;
        if let Some(gate) = gate {
            gate.pace.take(gate_rate, now);
            gate.under_way += 1;
        }
        Turn::Start(work)
    }

    /// A wait for the rate is over.
    pub(super) fn timer_rang(&self, connector: ConnectorId) {
        self.table().lanes.entry(connector).or_default().timer = false;
    }

    /// An attempt has ended and its result is on disk; `failed`: by the tool's fault, or `None` to leave its
    /// record as it was.
    pub(super) fn finish(
        &self,
        work: DeliveryId,
        connector: ConnectorId,
        credential: Option<CredentialId>,
        failed: Option<bool>,
    ) {
        let mut table = self.table();
        table.under_way = table.under_way.saturating_sub(1);
        if let Some(gate) = credential.and_then(|id| table.gates.get_mut(&id)) {
            gate.under_way = gate.under_way.saturating_sub(1);
        }
        let lane = table.lanes.entry(connector).or_default();
        lane.under_way.remove(&work);
        match failed {
            Some(true) => lane.failures += 1,
            Some(false) => lane.failures = 0,
            None => {}
        }
    }

    /// Whether the window runs low while the table holds more.
    pub(super) fn wants_more(&self, connector: ConnectorId) -> bool {
        let table = self.table();
        let lane = table.lanes.get(&connector);
        lane.is_some_and(|lane| lane.behind && lane.window.len() <= lane.under_way.len())
    }

    /// Whether a delivery is under way in this process.
    pub(super) fn is_under_way(&self, connector: ConnectorId, delivery: DeliveryId) -> bool {
        self.table().lanes.get(&connector).is_some_and(|lane| lane.under_way.contains(&delivery))
    }

    /// Takes out of a window what must go back to the queue: all of a closed lane, what is beyond the window of a
    /// failing one, and what would outlive its lease.
    pub(super) fn surplus(&self, rules: &Rules<'_>, now: Timestamp) -> Vec<Work> {
        let mut table = self.table();
        let open = !table.paused && is_open(rules.connector, now);
        let Some(lane) = table.lanes.get_mut(&rules.connector.id) else { return Vec::new() };
        let needed = now.plus(rules.webhook.timeout + LEASE_MARGIN);
        let window = if open { rules.window(lane) } else { 0 };
        let (keep, back): (Vec<_>, Vec<_>) = lane.window.drain(..).enumerate().partition(|(place, work)| {
            *place < usize::try_from(window).unwrap_or(usize::MAX) && work.lease_until > needed
        });
        lane.window = keep.into_iter().map(|(_, work)| work).collect();
        lane.behind |= !back.is_empty();
        back.into_iter().map(|(_, work)| work).collect()
    }

    /// Empties the window of a lane whose connector is gone.
    pub(super) fn forget(&self, connector: ConnectorId) -> Vec<Work> {
        let lane = self.table().lanes.remove(&connector);
        lane.map(|lane| lane.window.into()).unwrap_or_default()
    }

    /// The lanes that exist in this process.
    pub(super) fn known(&self) -> Vec<ConnectorId> {
        self.table().lanes.keys().copied().collect()
    }

    /// From now on nothing starts. Everything that waits in a window is handed back.
    pub(super) fn stop(&self) -> Vec<Work> {
        let mut table = self.table();
        table.stopping = true;
        table.lanes.values_mut().flat_map(|lane| lane.window.drain(..).collect::<Vec<_>>()).collect()
    }

    /// Closes all lanes, or opens them again. What waits in a window is handed back by [`Lanes::surplus`].
    pub(super) fn set_paused(&self, paused: bool) {
        self.table().paused = paused;
    }

    /// Whether all sending is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.table().paused
    }

    /// Whether [`Lanes::stop`] was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.table().stopping
    }

    /// Attempts under way in this process.
    pub(super) fn under_way(&self) -> usize {
        self.table().under_way
    }
}

impl Lane {
    fn room(&self, window: u32) -> u32 {
        let leased = self.window.len() + self.under_way.len();
        window.saturating_sub(u32::try_from(leased).unwrap_or(u32::MAX).saturating_add(self.reserved))
    }
}

#[cfg(test)]
mod tests;
