//! A device in a file in user space: what the kernel writes to it and when it flushes, in order; and what of it is
//! there when the power goes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    FileAttr, FileType, Filesystem, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request,
};
use parking_lot::Mutex;

use crate::place::{self, Kind};

pub(crate) const SECTOR_BYTES: usize = 512;
const FILE: u64 = 2;
const FOREVER: Duration = Duration::from_secs(3600);
/// Around the page cache: each write of the kernel's comes as it is.
const DIRECT_IO: u32 = 1;

/// Sectors by their number; what is not there is zero.
pub(crate) type Sectors = BTreeMap<u64, [u8; SECTOR_BYTES]>;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

#[derive(Clone, Debug)]
enum Event {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

/// Everything that the kernel did to the device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// What was on it at first.
    base: Sectors,
    events: Vec<Event>,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn writes(&self, from: usize) -> usize {
        self.events.len() - from - self.flushes(from)
    }

    pub(crate) fn flushes(&self, from: usize) -> usize {
        let events = self.events[from..].iter();
        events.filter(|event| matches!(event, Event::Flush)).count()
    }

    /// The device if the power goes before event `moment`: everything up to the last flush, and of the sectors
    /// written after it none, some or all, each by itself; later writes of a sector may have come before earlier ones.
    pub(crate) fn cut(&self, moment: usize, random: &mut Random) -> Sectors {
        let events = &self.events[..moment];
        let flushed = events
            .iter()
            .rposition(|event| matches!(event, Event::Flush))
            .unwrap_or(0);
        let mut sectors = self.base.clone();
        for event in &events[..flushed] {
            write(&mut sectors, event, &mut |_| true);
        }
        // Of ten cuts, one keeps everything, one nothing, and the others more or less.
        let keep_of_ten = random.below(11);
        let by_request = random.below(2) == 0;
        for event in &events[flushed..] {
            let whole = random.below(10) < keep_of_ten;
            write(&mut sectors, event, &mut |_| {
                if by_request {
                    whole
                } else {
                    random.below(10) < keep_of_ten
                }
            });
        }
        sectors
    }
}

fn write(sectors: &mut Sectors, event: &Event, keeps: &mut dyn FnMut(u64) -> bool) {
    let Event::Write { offset, bytes } = event else {
        return;
    };
    assert_eq!(
        offset % SECTOR_BYTES as u64,
        0,
        "a device is written by sectors"
    );
    let first = offset / SECTOR_BYTES as u64;
    for (number, bytes) in (first..).zip(bytes.chunks_exact(SECTOR_BYTES)) {
        if keeps(number) {
            sectors.insert(number, bytes.try_into().unwrap());
        }
    }
}

/// The device. Clones are hands on the same one.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    log: Arc<Mutex<Log>>,
    now: Arc<Mutex<Sectors>>,
    bytes: u64,
}

impl Device {
    /// A device with an empty file system of that kind.
    pub(crate) fn of(kind: Kind) -> Result<Device, String> {
        let base = place::make(kind)?;
        let log = Log {
            base: base.clone(),
            events: vec![],
        };
        Ok(Device {
            log: Arc::new(Mutex::new(log)),
            now: Arc::new(Mutex::new(base)),
            bytes: kind.bytes(),
        })
    }

    /// The log up to now.
    pub(crate) fn log(&self) -> Log {
        self.log.lock().clone()
    }

    /// How many events there were up to now.
    pub(crate) fn moment(&self) -> usize {
        self.log.lock().len()
    }

    fn attributes(&self, ino: u64) -> FileAttr {
        let is_file = ino == FILE;
        FileAttr {
            ino,
            size: if is_file { self.bytes } else { 0 },
            blocks: self.bytes / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file {
                FileType::RegularFile
            } else {
                FileType::Directory
            },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Device {
    fn lookup(&mut self, _: &Request<'_>, _: u64, name: &OsStr, reply: ReplyEntry) {
        match name == "device" {
            true => reply.entry(&FOREVER, &self.attributes(FILE), 0),
            false => reply.error(libc::ENOENT),
        }
    }

    fn getattr(&mut self, _: &Request<'_>, ino: u64, _: Option<u64>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(ino));
    }

    fn open(&mut self, _: &Request<'_>, _: u64, _: i32, reply: ReplyOpen) {
        reply.opened(1, DIRECT_IO);
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        _: u64,
        _: u64,
        offset: i64,
        size: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyData,
    ) {
        let (from, size) = (offset as u64, u64::from(size));
        let to = (from + size).min(self.bytes);
        let mut bytes = vec![0; to.saturating_sub(from) as usize];
        let now = self.now.lock();
        let step = SECTOR_BYTES as u64;
        for number in from / step..to.div_ceil(step) {
            let Some(sector) = now.get(&number) else {
                continue;
            };
            for (at, byte) in (number * step..).zip(sector) {
                if (from..to).contains(&at) {
                    bytes[(at - from) as usize] = *byte;
                }
            }
        }
        reply.data(&bytes);
    }

    fn write(
        &mut self,
        _: &Request<'_>,
        _: u64,
        _: u64,
        offset: i64,
        bytes: &[u8],
        _: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyWrite,
    ) {
        let offset = offset as u64;
        let event = Event::Write {
            offset,
            bytes: bytes.to_vec(),
        };
        write(&mut self.now.lock(), &event, &mut |_| true);
        self.log.lock().events.push(event);
        reply.written(bytes.len() as u32);
    }

    fn fsync(&mut self, _: &Request<'_>, _: u64, _: u64, _: bool, reply: ReplyEmpty) {
        self.log.lock().events.push(Event::Flush);
        reply.ok();
    }

    fn flush(&mut self, _: &Request<'_>, _: u64, _: u64, _: u64, reply: ReplyEmpty) {
        reply.ok();
    }
}
