//! Ctrl-C: the first one asks the command to end with what it has, the second one ends it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::pager;

static ASKED: AtomicBool = AtomicBool::new(false);

/// How a command ends that was interrupted.
pub(crate) const EXIT: u8 = 130;

/// Listens from now on. If the system does not let us, Ctrl-C ends the process as it always does.
pub(crate) fn listen() {
    let _ = ctrlc::set_handler(|| {
        // A pager takes Ctrl-C as it likes, and the process stays as long as it does.
        if ASKED.swap(true, Ordering::SeqCst) && !pager::is_on() {
            std::process::exit(EXIT.into());
        }
    });
}

/// Whether somebody asked the command to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
