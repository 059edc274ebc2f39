//! One run as a value: what the process that carries it out is told, and what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::DataWork;
use crate::observe::ObserveWork;
use crate::scale::ScaleWork;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The peer's name, as in `peers`.
    pub(crate) peer: String,
    /// One of its settings.
    pub(crate) setting: String,
    /// An empty directory, or for a replay the one that was filled.
    pub(crate) dir: PathBuf,
    /// Of the payloads.
    pub(crate) seed: u64,
    pub(crate) work: Work,
}

/// What is done in a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Threads that append one record each, wait until it is durable, and go on.
    Durable { threads: usize, time: Time },
    /// One thread that submits records and keeps so many in flight; counted when durable.
    Ticket { in_flight: usize, time: Time },
    /// Threads that append and never wait.
    Buffered { threads: usize, time: Time },
    /// Appends so many records, makes them durable and closes in order.
    Fill { records: u64 },
    /// Opens what was filled and reads every record.
    Replay { records: u64 },
    /// A run of the suite `data`.
    Data(DataWork),
    /// A run of the suite `engine`.
    Engine(EngineWork),
    /// A run of the suite `observe`.
    Observe(ObserveWork),
    /// A run of the suite `scale`.
    Scale(ScaleWork),
}

/// What is done in a run of the suite `engine`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum EngineWork {
    /// Threads that make transitions of the mix and wait for each.
    Transitions { threads: usize, time: Time },
    /// One thread that submits them and keeps many in flight.
    Submissions { time: Time },
    /// Threads that append the mix's records to a journal alone and wait for each.
    Appends { threads: usize, time: Time },
    /// One thread that submits those and keeps many in flight.
    Tickets { time: Time },
    /// Splits of a region with a row that is not durable; or, in `parts`, what such a split consists of.
    SplitDirty { parts: bool, time: Time },
    /// Counts what the mix takes in the journal.
    Bytes,
    /// Makes so many regions, a checkpoint, and as many records behind it.
    Fill { regions: u64 },
    /// Opens that.
    Open { regions: u64 },
    /// Lookups by key beside a thread that splits, in the engine or in a `map` behind a lock.
    Route { regions: u64, map: bool, time: Time },
}

/// How long a run is let alone, and then measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Time {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Records per second, or what the run counts.
    pub(crate) rate: f64,
    /// Further figures by name (see [`figure`]).
    pub(crate) figures: BTreeMap<String, f64>,
    /// What the log says about itself, for example which writer it chose.
    pub(crate) about: BTreeMap<String, String>,
}

/// The names of figures.
pub(crate) mod figure {
    /// Median time of one append, in microseconds.
    pub(crate) const P50_US: &str = "p50_us";
    /// 99th percentile of it.
    pub(crate) const P99_US: &str = "p99_us";
    /// The longest of all.
    pub(crate) const MAX_US: &str = "max_us";
    /// Processor time of the process, user and system, all threads, per record, in microseconds.
    pub(crate) const CPU_US: &str = "cpu_us_per_record";
    /// Write requests that the device finished per record, flushes among them.
    pub(crate) const DEVICE_IOS: &str = "device_ios_per_record";
    /// KiB written to the device per record.
    pub(crate) const DEVICE_KIB: &str = "device_kib_per_record";
    /// Flushes of the device's cache per record.
    pub(crate) const DEVICE_FLUSHES: &str = "device_flushes_per_record";
    /// Seconds that opening took.
    pub(crate) const SECONDS: &str = "seconds";
    /// Resident memory that opening added, per region.
    pub(crate) const RESIDENT_BYTES: &str = "resident_bytes_per_region";
    /// Bytes in the journal per transition, headers of records and groups among them, padding not.
    pub(crate) const RECORD_BYTES: &str = "record_bytes";
    /// Bytes of the region's description in protobuf.
    pub(crate) const PROTOBUF_BYTES: &str = "protobuf_bytes";
    /// The one over the other.
    pub(crate) const BYTES_OVER_PROTOBUF: &str = "bytes_over_protobuf";
    /// Padding to the page, per sync.
    pub(crate) const PADDING_BYTES_PER_SYNC: &str = "padding_bytes_per_sync";
    /// What a row has beside its figure.
    pub(crate) const BESIDE_A_ROW: &[&str] = &[
        P50_US,
        P99_US,
        CPU_US,
        RECORD_BYTES,
        PROTOBUF_BYTES,
        PADDING_BYTES_PER_SYNC,
    ];
    /// Records read.
    pub(crate) const RECORDS: &str = "records";
    /// Sum of the first bytes of their payloads.
    pub(crate) const SUM: &str = "sum_of_first_bytes";
}
