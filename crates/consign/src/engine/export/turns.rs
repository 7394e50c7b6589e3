//! Whose runs begin. Servers take turns, so that one that hangs keeps its own runs waiting and nobody else's.

use std::collections::HashMap;

use consign_core::id::ConnectorId;

/// Runs at one time that are not small files: each holds a few megabytes.
const RUNS_MAX: usize = 16;
/// So many of them go to one server.
const RUNS_OF_SERVER_MAX: usize = 4;
/// The last places are for servers to which none goes yet.
const RUNS_BESIDE_OTHERS_MAX: usize = 8;

/// Whether any run may begin, given how many go to each server.
pub(super) fn is_room(under_way: &HashMap<String, usize>) -> bool {
    under_way.values().sum::<usize>() < RUNS_MAX
}

/// The exporters whose runs begin now, of those that are due with their servers. The server with the fewest runs comes first,
/// and among its exporters the one that has been due the longest.
pub(super) fn next(due: &[(ConnectorId, String)], mut under_way: HashMap<String, usize>) -> Vec<ConnectorId> {
    let mut all: usize = under_way.values().sum();
    let mut waiting: Vec<_> = due.iter().collect();
    let mut next = Vec::new();
    while all < RUNS_MAX {
        let of = |server: &String| under_way.get(server).copied().unwrap_or_default();
        let first = waiting.iter().enumerate().min_by_key(|(_, (_, server))| of(server));
        let Some((place, (exporter, server))) =
            first.map(|(place, (exporter, server))| (place, (exporter, server)))
        else {
            break;
        };
        let fewest = of(server);
        if fewest >= RUNS_OF_SERVER_MAX || fewest > 0 && all >= RUNS_BESIDE_OTHERS_MAX {
            break;
        }
        next.push(*exporter);
        *under_way.entry(server.clone()).or_default() += 1;
        all += 1;
        waiting.remove(place);
    }
    next
}

#[cfg(test)]
mod tests;
