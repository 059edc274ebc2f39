//! How much of the history was written when: samples, so that the bytes and the age of what a reader
//! has not read yet are known without reading it. The newest are close together, the older ones thinned.
//!
//! Not here: limits on either (`settings`, `retention`).

use torrens_journal::Lsn;

use super::index::thin;

/// How much had been written before one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The record.
    pub lsn: Lsn,
    /// Bytes of all records before it, since the history began.
    pub bytes: u64,
    /// When it was written, in microseconds since 1970.
    pub wall_clock_micros: u64,
}

/// Samples in order; thinned as they become many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    samples: Vec<Sample>,
    /// Bytes between two new samples.
    stride: u64,
    bytes: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            samples: Vec::new(),
            stride: Sizes::STRIDE,
            bytes: 0,
        }
    }
}

impl Sizes {
    /// Most samples; then every second of the older half goes.
    const SAMPLES_MAX: usize = 4096;
    /// Bytes between two new samples.
    const STRIDE: u64 = 4096;
    /// Microseconds between two new samples, however little was written: without them an age would be that
    /// of whatever was written before.
    const STRIDE_MICROS: u64 = 1_000_000;
    /// What a record takes in a journal beside its payload, padding included.
    const RECORD_BYTES: u64 = 28;

    /// Bytes of all records, since the history began.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a record in.
    pub(super) fn note(&mut self, lsn: Lsn, payload_bytes: usize, wall_clock_micros: u64) {
        let is_due = self.samples.last().is_none_or(|last| {
            let passed = wall_clock_micros.saturating_sub(last.wall_clock_micros);
            let grown = self.bytes.saturating_sub(last.bytes);
            grown >= self.stride || passed >= Sizes::STRIDE_MICROS
        });
        if is_due {
            self.samples.push(Sample {
                lsn,
                bytes: self.bytes,
                wall_clock_micros,
            });
            if self.samples.len() >= Sizes::SAMPLES_MAX {
                thin(&mut self.samples);
            }
        }
        let bytes = payload_bytes as u64 + Sizes::RECORD_BYTES;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The last sample at or before a record, or the first.
    fn before(&self, lsn: Lsn) -> Option<&Sample> {
        let behind = self.samples.partition_point(|sample| sample.lsn <= lsn);
        self.samples.get(behind.saturating_sub(1))
    }

    /// Bytes from a record on to the end, or a little more.
    pub fn bytes_from(&self, lsn: Lsn) -> u64 {
        let before = self.before(lsn).map_or(self.bytes, |sample| sample.bytes);
        self.bytes.saturating_sub(before)
    }

    /// When a record was written, or a little earlier, in microseconds since 1970.
    pub fn written_at(&self, lsn: Lsn) -> Option<u64> {
        self.before(lsn).map(|sample| sample.wall_clock_micros)
    }

    /// The first record such that at most `bytes` lie from it to the end.
    pub fn within(&self, bytes: u64) -> Option<Lsn> {
        let floor = self.bytes.saturating_sub(bytes);
        let at = self.samples.partition_point(|sample| sample.bytes < floor);
        self.samples.get(at).map(|sample| sample.lsn)
    }

    /// The last sampled record.
    pub fn last(&self) -> Lsn {
        self.samples.last().map_or(Lsn::FIRST, |sample| sample.lsn)
    }

    /// The first sampled record that was written at or after that moment.
    pub fn since(&self, wall_clock_micros: u64) -> Option<Lsn> {
        let found = self
            .samples
            .iter()
            .find(|sample| sample.wall_clock_micros >= wall_clock_micros);
        found.map(|sample| sample.lsn)
    }

    /// Forgets the samples that nothing at or behind `oldest` needs.
    pub(super) fn forget_below(&mut self, oldest: Lsn) {
        let behind = self.samples.partition_point(|sample| sample.lsn <= oldest);
        self.samples.drain(..behind.saturating_sub(1));
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> + '_ {
        self.samples.iter().copied()
    }

    pub(super) fn stride(&self) -> u64 {
        self.stride
    }

    pub(super) fn restore_head(&mut self, bytes: u64, stride: u64) {
        self.bytes = bytes;
        self.stride = stride.max(1);
    }

    pub(super) fn restore(&mut self, sample: Sample) {
        self.samples.push(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_slowly_has_its_own_time() {
        let mut sizes = Sizes::default();
        let day = 86_400_000_000_u64;
        for lsn in 1..=20_000_u64 {
            sizes.note(Lsn::new(lsn), 10, lsn * day);
        }
        assert!(sizes.samples.len() < Sizes::SAMPLES_MAX);
        for lsn in [19_000, 19_999, 20_000_u64] {
            let told = sizes.written_at(Lsn::new(lsn)).unwrap();
            assert_eq!(told, lsn * day);
        }
        assert_eq!(sizes.since(20_001 * day), None);
    }

    #[test]
    fn bytes_and_times_are_known_however_long_it_is_and_the_newest_to_within_a_stride() {
        let mut sizes = Sizes::default();
        for lsn in 1..=200_000_u64 {
            sizes.note(Lsn::new(lsn), 100, lsn);
        }
        assert!(sizes.samples.len() < Sizes::SAMPLES_MAX);
        assert_eq!(sizes.bytes(), 200_000 * 128);
        for lsn in [1, 77, 100_000, 199_000, 199_999] {
            let exact = (200_001 - lsn) * 128;
            let told = sizes.bytes_from(Lsn::new(lsn));
            let most = exact + exact / 256 + Sizes::STRIDE + 128;
            assert!((exact..=most).contains(&told), "{lsn}: {told} of {exact}");
            assert!(sizes.written_at(Lsn::new(lsn)).unwrap() <= lsn);
        }
        let from = sizes.within(1_000_000).unwrap();
        assert!(sizes.bytes_from(from) <= 1_000_000);
        sizes.forget_below(Lsn::new(150_000));
        assert!(sizes.samples.first().unwrap().lsn <= Lsn::new(150_000));
        assert!(sizes.written_at(Lsn::new(150_000)).unwrap() > 140_000);
    }
}
