//! How far an observer is behind, and how near to losing changes.
//!
//! Bytes and times are those of the store's whole history from the first record that the observer still
//! needs, and at most an eighth more. Not here: acting on it (`retention`).

use std::time::Duration;

use torrens_journal::Lsn;

use crate::RegionId;
use crate::engine::core::Core;
use crate::lifecycle::{Attachment, AttachmentState, Observer};
use crate::observe::{
    Generation, HistorySettings, Index, ObserverId, ObserverPolicy, RetentionStage, Start,
};

/// How far an observer is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverLag {
    /// Records of the history from the first that is still needed.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long ago the first was written.
    pub age: Duration,
    /// How near it is to losing changes.
    pub stage: RetentionStage,
    /// Bytes that may still be written before it loses some.
    pub bytes_left: u64,
    /// Time until it loses some for their age; none without a limit.
    pub time_left: Option<Duration>,
    /// Each region, by id.
    pub regions: Vec<RegionLag>,
}

/// How far an observer is behind in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionLag {
    /// The region.
    pub region: RegionId,
    /// The current, or last, attachment.
    pub generation: Generation,
    /// What it is doing.
    pub state: &'static str,
    /// Everything up to this index is acknowledged.
    pub acked: u64,
    /// Everything up to this index was handed to the consumer.
    pub delivered: u64,
    /// The last index that the history has.
    pub head: u64,
    /// Indexes that are not acknowledged.
    pub entries: u64,
    /// Bytes of the history from the first record that is still needed for it.
    pub bytes: u64,
    /// How long ago that record was written.
    pub age: Duration,
    /// How near it is to losing changes.
    pub stage: RetentionStage,
}

/// The limits that hold for an observer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes_max: u64,
    pub(super) age_max: Option<Duration>,
}

impl Limits {
    pub(super) fn of(settings: &HistorySettings, policy: &ObserverPolicy) -> Self {
        let own = policy.retain_age_millis_max.map(Duration::from_millis);
        Limits {
            bytes_max: policy
                .retain_bytes_max
                .map_or(settings.bytes_max, |own| own.min(settings.bytes_max)),
            age_max: own.into_iter().chain(settings.age_max).min(),
        }
    }
}

/// What an attachment still needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The first record; none if everything that is there is acknowledged.
    pub(super) lsn: Option<Lsn>,
    pub(super) bytes: u64,
    pub(super) age: Duration,
    pub(super) stage: RetentionStage,
}

impl Need {
    pub(super) fn of(
        index: &Index,
        region: RegionId,
        attachment: &Attachment,
        limits: Limits,
        now_micros: u64,
    ) -> Self {
        let lsn = match index.start(region, attachment.acked) {
            Start::At(lsn) => Some(lsn),
            Start::End | Start::Gone { .. } | Start::Unknown => None,
        };
        let sizes = index.sizes();
        let bytes = lsn.map_or(0, |lsn| sizes.bytes_from(lsn));
        let written = lsn.and_then(|lsn| sizes.written_at(lsn));
        let age = written.map_or(0, |written| now_micros.saturating_sub(written));
        let age = Duration::from_micros(age);
        let by_age = limits.age_max.map_or(RetentionStage::Ok, |max| {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            RetentionStage::of(micros(age), micros(max))
        });
        let by_bytes = RetentionStage::of(bytes, limits.bytes_max);
        let is_lost = matches!(attachment.state, AttachmentState::Invalidated(_));
        let stage = match is_lost {
            true => RetentionStage::Invalidated,
            false => by_age.max(by_bytes),
        };
        Need {
            lsn,
            bytes,
            age,
            stage,
        }
    }
}

impl Core {
    pub(in crate::engine) fn observer_lag(&self, observer: ObserverId) -> Option<ObserverLag> {
        let settings = self.history.settings();
        let shared = self.feeds.get(observer);
        let now = self.disk.wall_clock_micros();
        let published = self.published();
        let known: &Observer = published.observers().get(observer)?;
        let limits = Limits::of(&settings, &known.policy);
        let appended = self.history.readable(true);
        let delivered = shared.as_ref().map(|shared| shared.delivered.lock());
        self.history.with_index(|index| {
            let (mut regions, mut first) = (Vec::new(), None::<Lsn>);
            let mut stage = RetentionStage::Ok;
            for (region, attachment) in known.attachments() {
                let need = Need::of(index, region, attachment, limits, now);
                first = first.into_iter().chain(need.lsn).min();
                stage = stage.max(need.stage);
                let newest = index.newest(region);
                let head = newest.map_or(attachment.acked, |span| span.end_index);
                let handed = delivered.as_ref().and_then(|known| known.get(&region));
                regions.push(RegionLag {
                    region,
                    generation: attachment.generation,
                    state: attachment.state.as_str(),
                    acked: attachment.acked,
                    delivered: handed.map_or(0, |(_, index)| *index).max(attachment.acked),
                    head,
                    entries: head.saturating_sub(attachment.acked),
                    bytes: need.bytes,
                    age: need.age,
                    stage: need.stage,
                });
            }
            let sizes = index.sizes();
            let bytes = first.map_or(0, |lsn| sizes.bytes_from(lsn));
            let written = first.and_then(|lsn| sizes.written_at(lsn));
            let age = written.map_or(0, |written| now.saturating_sub(written));
            let age = Duration::from_micros(age);
            let records = first.and_then(|lsn| appended.next().map(|end| end.distance_from(lsn)));
            Some(ObserverLag {
                records: records.unwrap_or(0),
                bytes,
                age,
                stage,
                bytes_left: limits.bytes_max.saturating_sub(bytes),
                time_left: limits.age_max.map(|max| max.saturating_sub(age)),
                regions,
            })
        })
    }
}
