//! What an observer's keys are covered by, and what the audit answers.
//!
//! The audit compares what should be observed with what is, everywhere, whether anything was notified or
//! not; each thing that it has to put right means that a notification was lost, and is counted. Not here:
//! running it (`engine`).

use super::ObserverId;
use crate::lifecycle::{Observer, Register};
use crate::{KeyRange, RegionId};

/// One part of the keys that an observer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The keys.
    pub range: KeyRange,
    /// The region whose attachment covers them; none for a hole: no region with data has them here.
    pub region: Option<RegionId>,
}

/// The keys that an observer asks for as parts, ascending and without a gap within each of its ranges:
/// each is covered by one attachment of a region that has them here, or is a hole.
pub fn partition(register: &Register, observer: &Observer) -> Vec<Part> {
    let mut parts = Vec::new();
    for range in observer.ranges.iter() {
        let mut rest = Some(range.clone());
        for (region, _) in register.tenants(range) {
            let description = register.peer(region).and_then(|peer| peer.stage.region());
            let is_open = observer
                .attachment(region)
                .is_some_and(|attachment| attachment.is_open());
            let Some(own) = description.filter(|_| is_open).map(|found| &found.range) else {
                continue;
            };
            let (Some(open), Some(own)) = (rest.take(), own.intersection(range)) else {
                break;
            };
            // Tenants come in key order and do not overlap.
            let before = KeyRange::new(open.start().clone(), Some(own.start().clone()));
            parts.extend(before.map(|range| Part {
                range,
                region: None,
            }));
            rest = match (own.end(), open.end()) {
                (None, _) => None,
                (Some(end), open_end) => KeyRange::new(end.clone(), open_end.cloned()),
            };
            parts.push(Part {
                range: own,
                region: Some(region),
            });
        }
        parts.extend(rest.map(|range| Part {
            range,
            region: None,
        }));
    }
    parts
}

/// What an audit found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// Attachments that were looked at.
    pub attachments: usize,
    /// Regions whose leadership was other than reported.
    pub leaderships_repaired: usize,
    /// Attachments that were other than they should be.
    pub attachments_repaired: usize,
    /// Keys that an observer asks for and that no region with data has here.
    pub holes: Vec<(ObserverId, KeyRange)>,
}
