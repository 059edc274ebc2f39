//! The mark file and the checkpoints of a new directory.

use std::sync::Arc;

use torrens_journal::disk::OpenMode;
use torrens_journal::format::{MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES};

use super::Builder;
use crate::rebuild::error::io_error;
use crate::rebuild::{FilePart, MarkPart, RebuildError};

/// The longest checkpoint.
const FILE_BYTES_MAX: u64 = 1 << 40;
/// The longest mark file, which holds four pages if it is whole.
const MARK_FILE_BYTES_MAX: u64 = 1 << 20;

impl Builder {
    pub(super) fn mark(&mut self, part: &MarkPart) -> Result<(), RebuildError> {
        let mark = part.resolve(self.journal.end_at(part.mark.durable_lsn));
        self.file(&FilePart {
            name: &format!("journal/{MARK_FILE_NAME}"),
            file_bytes: MARK_PAGES * PAGE_BYTES,
            offset_bytes: mark.page() * PAGE_BYTES,
            bytes: &mark.encode(),
        })
    }

    pub(super) fn file(&mut self, part: &FilePart<'_>) -> Result<(), RebuildError> {
        let FilePart {
            name,
            file_bytes,
            offset_bytes,
            bytes,
        } = *part;
        let end_bytes = offset_bytes.saturating_add(bytes.len() as u64);
        let max = match name.ends_with(MARK_FILE_NAME) {
            true => MARK_FILE_BYTES_MAX,
            false => FILE_BYTES_MAX,
        };
        if !is_file_of_a_store(name) || end_bytes > file_bytes || file_bytes > max {
            let name = name.to_owned();
            return Err(RebuildError::File { name, end_bytes });
        }
        let path = self.dir.join(name);
        let file = match self.files.get(name) {
            Some(file) => Arc::clone(file),
            None => {
                let file = self
                    .disk
                    .open(&path, OpenMode::CreateNew)
                    .map_err(io_error("create", &path))?;
                if name.ends_with(MARK_FILE_NAME) {
                    file.write_zeros(0, file_bytes)
                        .map_err(io_error("write", &path))?;
                }
                self.files.insert(name.to_owned(), Arc::clone(&file));
                file
            }
        };
        file.write_all_at(offset_bytes, bytes)
            .map_err(io_error("write", &path))
    }
}

/// The mark file, or a plain name among the checkpoints: nothing that leads out of the directory.
fn is_file_of_a_store(name: &str) -> bool {
    if name == format!("journal/{MARK_FILE_NAME}") {
        return true;
    }
    name.strip_prefix("checkpoints/").is_some_and(|name| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && !name.starts_with('.') && name.len() < 200 && name.bytes().all(plain)
    })
}
