//! Everything that always holds of an open store, checked from outside.

use crate::lifecycle::{CacheState, Register};
use crate::play::machine::Machine;
use crate::play::show;
use crate::store::{Direction, scan_at, scan_versions};
use crate::{ColumnFamily, Engine, KeyRange};

/// Checks an open store.
///
/// # Errors
/// The first thing that does not hold, in words.
pub(crate) fn check(machine: &Machine) -> Result<(), String> {
    let engine = machine.engine().map_err(|_| "not open".to_owned())?;
    let (durable, decided) = (engine.register(), engine.appended_register());
    for register in [&durable, &decided] {
        let checked = register.check_invariants();
        checked.map_err(|violation| violation.to_string())?;
    }
    journal_is_the_register(machine, engine, &durable)?;
    if let Some(lost) = machine.lost_acknowledgement() {
        return Err(lost);
    }
    every_key_has_an_owner(machine, &decided)?;
    caches_say_what_the_store_says(machine, engine, &durable)
}

/// The records in the files are the published state.
fn journal_is_the_register(
    machine: &Machine,
    engine: &Engine,
    durable: &Register,
) -> Result<(), String> {
    // More may be synced than is published, if nobody asked since.
    if engine.synced() != durable.last_lsn() {
        return Ok(());
    }
    let picture = machine
        .inspector()
        .and_then(|inspector| inspector.look(Some(durable.last_lsn())));
    let picture = picture.map_err(|error| error.to_string())?;
    if picture.register == *durable {
        Ok(())
    } else {
        Err("the journal's records are not the published state".to_owned())
    }
}

fn every_key_has_an_owner(machine: &Machine, decided: &Register) -> Result<(), String> {
    let Ok((_, data)) = machine.sim() else {
        return Ok(());
    };
    for cf in ColumnFamily::ALL {
        for version in scan_versions(data, cf, &KeyRange::all()) {
            // A store that failed answers nothing any more; that is its own error.
            let Ok((version, _)) = version else {
                return Ok(());
            };
            if decided.owner_at(&version.key).is_none() {
                let key = show::key(&version.key);
                return Err(format!("nobody owns {key}, which is in the data store"));
            }
        }
    }
    Ok(())
}

fn caches_say_what_the_store_says(
    machine: &Machine,
    engine: &Engine,
    durable: &Register,
) -> Result<(), String> {
    let Ok((_, data)) = machine.sim() else {
        return Ok(());
    };
    for (id, _, normal) in durable.normal_peers() {
        if durable.cache_state(id) != CacheState::Active {
            continue;
        }
        let Ok(view) = engine.view(id, normal.region.epoch) else {
            return Err(format!("{id} is active and cannot be read"));
        };
        for cf in ColumnFamily::ALL {
            let range = &normal.region.range;
            let stored = scan_at(data, cf, range, view.sequence(), Direction::Forward);
            let stored: Result<Vec<_>, _> = stored.collect();
            let read: Result<Vec<_>, _> = view.scan_cf(cf, .., Direction::Forward).collect();
            if let (Ok(stored), Ok(read)) = (stored, read)
                && stored != read
            {
                return Err(format!(
                    "the cache of {id} does not hold what the store holds"
                ));
            }
        }
    }
    Ok(())
}
