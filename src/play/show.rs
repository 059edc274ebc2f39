//! How things look in an answer: one line each, in the forms that commands take too.
//!
//! Positions in the journal are left out wherever a scenario can do without them, and creations and
//! deletions are shown by ordinal, so that a file stays right when the engine journals one record
//! more than before. Not here: which lines an answer has (`commands`).

use torrens_journal::Lsn;

use super::machine::Machine;
use super::world::{Lines, Trouble};
use crate::inspector::{Description, KeyForm, key_text, peer_text};
use crate::lifecycle::{
    CacheEntry, Mode, Outcome, Owner, PeerStage, PeerState, QueuedLoad, Register, Tombstone,
};
use crate::{Answer, Incarnation, KeyRange, Region, RegionId, RegionView, WriteAnswer};

/// What the operating system says, without its own numbers and words.
pub(super) fn refusal_of(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => error.to_string(),
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        line.push_str(": ");
        line.push_str(&match source.downcast_ref::<std::io::Error>() {
            Some(refused) => refusal_of(refused),
            None => source.to_string(),
        });
        cause = source.source();
    }
    line
}

/// `error CODE: …`, for an error that no command but one has.
pub(super) fn error_line(code: &str, error: &dyn std::error::Error) -> String {
    format!("error {code}: {}", uncounted(&chain(error)))
}

pub(super) fn trouble(trouble: &Trouble) -> Lines {
    let error = |code: &str, text: String| vec![format!("error {code}: {}", uncounted(&text))];
    match trouble {
        Trouble::Engine(failure) => error(failure.code(), chain(failure)),
        Trouble::Read(failure) => error(failure.code(), chain(failure)),
        Trouble::Open(failure) => error(failure.code(), chain(&**failure)),
        Trouble::Observe(failure) => error(failure.code(), chain(failure)),
        Trouble::Refused(refusal) => vec![format!("refused {}: {refusal}", refusal.code())],
        Trouble::Script(text) => error("scenario", text.clone()),
        Trouble::Argument(name) => error("scenario", format!("the command needs {name}")),
        Trouble::NeedsSim => error("needs-sim", "only a simulated disk can do that".to_owned()),
    }
}

/// Without the number of an operation that was made to fail, which any other operation changes, and of a
/// process.
fn uncounted(text: &str) -> String {
    const INJECTED: &str = "injected failure of operation ";
    const HOLDER: &str = " in process ";
    if let Some((before, holder)) = text.split_once(HOLDER) {
        let after = holder.trim_start_matches(|c: char| c.is_ascii_digit());
        return format!("{before}{after}");
    }
    match text.split_once(INJECTED) {
        None => text.to_owned(),
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let after = after.trim_start_matches(", ");
            format!("{before}injected failure of {after}")
        }
    }
}

pub(super) fn answer(answer: &Answer) -> Lines {
    match answer {
        Answer::Accepted { .. } => vec!["accepted".to_owned()],
        Answer::AlreadyApplied => vec!["already applied".to_owned()],
        Answer::Wait(reason) => vec![format!("wait {}: {reason}", reason.code())],
        Answer::Refused(refusal) => vec![format!("refused {}: {refusal}", refusal.code())],
    }
}

pub(super) fn write_answer(answer: &WriteAnswer) -> Lines {
    match answer {
        WriteAnswer::Applied { .. } => vec!["applied".to_owned()],
        WriteAnswer::AlreadyApplied { data_index } => {
            vec![format!("already applied, data at i{data_index}")]
        }
        WriteAnswer::Refused(refusal) => vec![format!("refused {}: {refusal}", refusal.code())],
    }
}

pub(super) fn outcome(outcome: &Outcome) -> Lines {
    match outcome {
        Outcome::Accepted(accepted) => {
            vec![format!(
                "would be accepted: {}",
                accepted.change.kind_name()
            )]
        }
        Outcome::AlreadyApplied => vec!["already applied".to_owned()],
        Outcome::Wait(reason) => vec![format!("wait {}: {reason}", reason.code())],
        Outcome::Refused(refusal) => vec![format!("refused {}: {refusal}", refusal.code())],
    }
}

/// Which creations came to be, and which ended.
pub(super) fn came_and_went(
    before: &[(RegionId, Incarnation)],
    now: &[(RegionId, Incarnation)],
) -> Lines {
    let line = |what: &str, (region, incarnation): &(RegionId, Incarnation)| {
        format!("{what} {region}{incarnation}")
    };
    let went = before.iter().filter(|creation| !now.contains(creation));
    let came = now.iter().filter(|creation| !before.contains(creation));
    let went = went.map(|creation| line("ended", creation));
    went.chain(came.map(|creation| line("created", creation)))
        .collect()
}

/// `[a,m)`, as commands take it.
pub(super) fn range(range: &KeyRange) -> String {
    let end = range.end().map_or(String::new(), |end| key(end));
    format!("[{},{end})", key(range.start()))
}

/// A key as commands take it: itself, or in quotes with escapes.
pub(super) fn key(key: &[u8]) -> String {
    let is_plain =
        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',' | b':');
    if key.iter().all(is_plain) {
        return key_text(key);
    }
    let mut text = String::from("\"");
    for byte in key {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text.push('"');
    text
}

fn peers(region: &Region) -> String {
    let listed: Vec<String> = region.peers.iter().map(peer_text).collect();
    listed.join(" ")
}

/// `r1 [a,m) c1.v2 p10@s1 p11@s2`.
pub(super) fn region(region: &Region) -> String {
    format!(
        "{} {} {} {}",
        region.id,
        range(&region.range),
        region.epoch,
        peers(region)
    )
}

/// A peer and what it is.
pub(super) fn peer(id: RegionId, peer: &PeerState) -> String {
    let mut line = format!(
        "{id} {}{} {}",
        peer.peer,
        peer.incarnation,
        peer.stage.name()
    );
    if let Some(region) = peer.stage.region() {
        line.push_str(&format!(
            " {} {} {}",
            range(&region.range),
            region.epoch,
            peers(region)
        ));
    }
    match &peer.stage {
        PeerStage::Uninitialized => {}
        PeerStage::Normal(normal) | PeerStage::Witness(normal) => {
            line.push_str(&format!(
                " meta {} floor i{}",
                normal.meta_index, normal.floor.index
            ));
            if *normal.mode != Mode::Serving {
                line.push_str(&format!(" {}", normal.mode.as_str()));
            }
        }
        PeerStage::Waiting(waiting) => {
            line.push_str(&format!(" meta {}", waiting.meta_index));
        }
        PeerStage::Applying(applying) => {
            line.push_str(&format!(" snapshot {}", applying.snapshot.position));
        }
        PeerStage::Damaged(damaged) => line.push_str(&format!(
            " meta {} floor i{} ({}: {})",
            damaged.meta_index,
            damaged.floor.index,
            damaged.reason.as_str(),
            damaged.reason
        )),
    }
    if let Some(predecessor) = *peer.predecessor {
        line.push_str(&format!(" adopted {predecessor}"));
    }
    line
}

pub(super) fn tombstone(region: RegionId, tombstone: &Tombstone) -> String {
    format!(
        "{region} up to {} at {} ({})",
        tombstone.highest_peer,
        tombstone.epoch,
        tombstone.cause.as_str()
    )
}

/// A region's cache and what its state remembers.
pub(super) fn cache(region: RegionId, entry: &CacheEntry) -> String {
    let mut line = format!("{region} {}", entry.state().as_str());
    if let Some(incarnation) = entry.incarnation() {
        line.push_str(&format!(" of {incarnation}"));
    }
    match entry {
        CacheEntry::Active {
            shared_from: Some(from),
            ..
        } => line.push_str(&format!(" shared from {from}")),
        CacheEntry::Cancelled { reason, .. }
        | CacheEntry::EvictPending { reason, .. }
        | CacheEntry::Evicting { reason, .. } => line.push_str(&format!(" ({})", reason.as_str())),
        CacheEntry::Absent
        | CacheEntry::LoadRequested { .. }
        | CacheEntry::LoadQueued { .. }
        | CacheEntry::Loading { .. }
        | CacheEntry::Active { .. } => {}
    }
    if let Some(QueuedLoad {
        incarnation,
        version,
    }) = entry.queued()
    {
        line.push_str(&format!(", a load of {incarnation} at v{version} waits"));
    }
    line
}

/// The range ledger: every part of the key space that somebody owns, in key order.
pub(super) fn ledger(register: &Register) -> Lines {
    let line = |(keys, owner): (KeyRange, Owner)| {
        let owner = match owner {
            Owner::Peer {
                region,
                incarnation,
            } => format!("{region}{incarnation}"),
            Owner::Deletion(deletion) => {
                let cause = register.deletion(deletion).map(|pending| {
                    let (who, why) = (pending.cause.region(), pending.cause.as_str());
                    format!("{deletion} of {who} ({why})")
                });
                cause.unwrap_or_else(|| deletion.to_string())
            }
            Owner::Reservation {
                region,
                incarnation,
            } => format!("kept free for {region}{incarnation}"),
        };
        format!("{} {owner}", range(&keys))
    };
    none_if_empty(register.owners().map(line).collect())
}

/// One record of a trace.
pub(super) fn record(lsn: Lsn, description: &Description) -> String {
    let (kind, cause) = (&description.kind, description.cause_text());
    let detail = description.detail(&KeyForm::Auto);
    let region = description.region();
    let region = region.map_or(String::new(), |region| format!(" {region}"));
    match detail.is_empty() {
        true => format!("{lsn} {kind}{region} ({cause})"),
        false => format!("{lsn} {kind}{region}: {detail} ({cause})"),
    }
}

/// One record as an answer: without its position.
pub(super) fn entry(description: &Description) -> String {
    let region = description.region();
    let region = region.map_or(String::new(), |region| format!(" {region}"));
    // The one thing in a journal that is random on purpose.
    let detail = match &*description.kind {
        "store.new-data" => "a generation of its own".to_owned(),
        _ => description.detail(&KeyForm::Auto),
    };
    format!("{}{region}: {detail}", description.kind)
}

/// What a view reads from.
pub(super) fn source(view: &RegionView) -> &'static str {
    if view.is_cached() { "cache" } else { "store" }
}

/// An answer has at least one line.
pub(super) fn none_if_empty(lines: Lines) -> Lines {
    if lines.is_empty() {
        vec!["none".to_owned()]
    } else {
        lines
    }
}

/// A line as it is on every machine: paths without what lies above the store, snapshots by the names that
/// the scenario gave them.
pub(super) fn unplaced<'a>(
    line: &str,
    dir: &std::path::Path,
    names: impl Iterator<Item = (&'a String, String)>,
) -> String {
    let dir = dir.display().to_string();
    let mut line = match dir == super::machine::SIM_DIR {
        true => line.to_owned(),
        false => line.replace(&dir, super::machine::SIM_DIR),
    };
    for (given, file) in names {
        if line.contains(&file) {
            line = line.replace(&file, given);
        }
    }
    line
}

/// Creations (`#97`) and deletions (`d97.0`) by the order in which the scenario saw them.
pub(super) fn localized(machine: &Machine, line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let tail = rest.get(next.len_utf8()..).unwrap_or_default();
        let (found, left) = match next {
            '#' => creation(machine, tail),
            'd' if !before.is_alphanumeric() => deletion(machine, tail),
            _ => None,
        }
        .map_or((None, tail), |(found, left)| (Some(found), left));
        match found {
            Some(ordinal) => {
                out.push_str(&format!("{next}{ordinal}"));
                before = '0';
            }
            None => {
                out.push(next);
                before = next;
            }
        }
        rest = left;
    }
    out
}

/// The digits at the start of a text, and what follows.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

fn creation<'a>(machine: &Machine, text: &'a str) -> Option<(usize, &'a str)> {
    let (number, rest) = digits(text)?;
    Some((machine.ordinal(number)?, rest))
}

fn deletion<'a>(machine: &Machine, text: &'a str) -> Option<(usize, &'a str)> {
    let (lsn, rest) = digits(text)?;
    let (ordinal, rest) = digits(rest.strip_prefix('.')?)?;
    let ordinal = u32::try_from(ordinal).ok()?;
    Some((machine.deletion_ordinal(lsn, ordinal)?, rest))
}
