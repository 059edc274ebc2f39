//! Writing and making durable in one call: `pwritev2` with `RWF_DSYNC`, or what comes closest.
//!
//! One such call is one write and one flush of the device (or a single write where the device can
//! write through its cache), and its error concerns the bytes of this call alone: calls that overlap
//! on one file cannot take each other's errors.

use std::fs::File;
use std::io::{self, IoSlice};

use super::sync::plain_sync;

/// Buffers that one call takes (`IOV_MAX` of Linux).
const BUFFERS_MAX: usize = 1024;

/// Writes `buffers` one behind the other from `offset` on and makes them durable.
pub(super) fn write(file: &File, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<()> {
    let mut rest: Vec<IoSlice<'_>> = Vec::new();
    let mut at = offset;
    for some in buffers.chunks(BUFFERS_MAX) {
        rest.clear();
        rest.extend_from_slice(some);
        let mut left = rest.as_mut_slice();
        // What is written is durable already, also of a call that wrote only a part.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = write_some(file, at, left)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            at += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
    }
    Ok(())
}

/// One call. What it wrote is durable.
#[cfg(target_os = "linux")]
fn write_some(file: &File, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev, pwritev2};
    match pwritev2(file, buffers, offset, ReadWriteFlags::DSYNC) {
        // An old kernel, a sandbox that forbids the call, a file system without the flag: nothing
        // was written.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
            let written = pwritev(file, buffers, offset)?;
            plain_sync(file)?;
            Ok(written)
        }
        other => other.map_err(io::Error::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn write_some(file: &File, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let Some(buffer) = buffers.first() else {
        return Ok(0);
    };
    file.write_all_at(buffer, offset)?;
    plain_sync(file)?;
    Ok(buffer.len())
}
