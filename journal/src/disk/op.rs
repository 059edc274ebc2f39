//! Names of the operations that change something, as hooks, counters and logs give them.
//!
//! Both disks use the same names, so that "the third `sync`" means the same on either.

/// A missing directory is created.
pub const CREATE_DIR: &str = "create_dir";
/// A new file is created.
pub const CREATE: &str = "create";
/// Bytes are written through a file.
pub const WRITE: &str = "write";
/// Bytes are written through a file and made durable by the same call.
pub const WRITE_DURABLE: &str = "write_durable";
/// Zeros are written through a file; one operation however many pages.
pub const WRITE_ZEROS: &str = "write_zeros";
/// A file's length is set.
pub const SET_LEN: &str = "set_len";
/// Bytes are stored through a map.
pub const STORE: &str = "store";
/// A file's data is synced.
pub const SYNC: &str = "sync";
/// A file is renamed.
pub const RENAME: &str = "rename";
/// A file is removed.
pub const REMOVE: &str = "remove";
/// A directory's entries are synced.
pub const SYNC_DIR: &str = "sync_dir";
/// An exclusive lock is asked for (creates the lock file if it is missing).
pub const LOCK: &str = "lock";
