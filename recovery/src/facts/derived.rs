//! What follows from the evidence without judging it: the best witness, where replay starts, what
//! nothing proves durable, the highest boot.

use torrens_journal::{Boot, Lsn};

use super::{Evidence, GroupPlace, MarkedPlace, Witness, WitnessKind};
use crate::checkpoint::CheckpointInfo;

impl Evidence {
    /// The newest valid checkpoint.
    pub fn checkpoint(&self) -> Option<&CheckpointInfo> {
        self.checkpoints.get(self.newest_valid?)?.state.info()
    }

    /// The checkpoint that replay starts from.
    pub fn start_checkpoint(&self) -> Option<&CheckpointInfo> {
        self.checkpoints.get(self.start?)?.state.info()
    }

    /// The position of the newest valid checkpoint, or [`Lsn::ZERO`].
    pub fn checkpoint_lsn(&self) -> Lsn {
        self.checkpoint().map_or(Lsn::ZERO, |info| info.meta.lsn)
    }

    /// The highest witness, and the reason why it is one.
    pub fn witness(&self) -> Option<Witness> {
        let marks = self.marks.iter().map(|mark| Witness {
            lsn: mark.durable,
            kind: WitnessKind::Mark,
            segment: Some(mark.segment),
            offset_bytes: Some(mark.end_offset_bytes),
        });
        let groups = self.segments.iter().flat_map(|segment| {
            [segment.durable, segment.later.durable]
                .into_iter()
                .flatten()
                .map(|(lsn, offset)| Witness {
                    lsn,
                    kind: WitnessKind::Group,
                    segment: Some(segment.id),
                    offset_bytes: Some(offset),
                })
        });
        let headers = self.segments.iter().filter_map(|segment| {
            Some(Witness {
                lsn: segment.predecessor?.last_lsn,
                kind: WitnessKind::NextHeader,
                segment: Some(segment.id),
                offset_bytes: Some(0),
            })
        });
        // A checkpoint whose header verifies was complete once, whatever happened to it since.
        let checkpoints = self.checkpoints.iter().filter_map(|file| {
            let meta = file.state.meta()?;
            Some(Witness {
                lsn: meta.lsn,
                kind: WitnessKind::Checkpoint,
                segment: None,
                offset_bytes: None,
            })
        });
        groups
            .chain(marks)
            .chain(headers)
            .chain(checkpoints)
            .filter(|witness| witness.lsn > Lsn::ZERO)
            .max_by_key(|witness| witness.lsn)
    }

    /// The accepted groups of the last segment that nothing proves to have been durable: all behind
    /// the last group that holds a witnessed record or that ends where a mark says. A group without
    /// records counts too, because everything behind it is chained to it.
    pub fn unwitnessed_groups(&self) -> &[GroupPlace] {
        let covered = self.witness().map_or(Lsn::ZERO, |witness| witness.lsn);
        let marked = self.segments.last().map_or(0, |last| {
            let marks = self
                .marks
                .iter()
                .filter(|mark| mark.segment == last.id && mark.place == MarkedPlace::Agrees);
            marks.map(|mark| mark.end_offset_bytes).max().unwrap_or(0)
        });
        let proven = |group: &GroupPlace| {
            (group.records > 0 && group.last_lsn() <= covered) || group.end_offset_bytes <= marked
        };
        let from = self
            .last_groups
            .iter()
            .rposition(proven)
            .map_or(0, |index| index + 1);
        self.last_groups.get(from..).unwrap_or(&[])
    }

    /// The highest boot number that anything in the directory carries.
    pub fn boot_max(&self) -> Boot {
        let segments = self
            .segments
            .iter()
            .flat_map(|segment| [segment.boot.get(), segment.later.boot_max]);
        let marks = self.marks.iter().map(|mark| mark.boot.get());
        let checkpoints = self
            .checkpoints
            .iter()
            .filter_map(|file| file.state.meta())
            .map(|meta| meta.boot.get());
        Boot::new(segments.chain(marks).chain(checkpoints).max().unwrap_or(0))
    }

    /// Whether nothing in the directory says that a journal ever acknowledged anything here.
    pub fn is_no_journal(&self) -> bool {
        self.segments.is_empty()
            && !self.mark_file
            && self.read_failure.is_none()
            && self.newer_format.is_none()
            && self.witness().is_none()
    }
}
