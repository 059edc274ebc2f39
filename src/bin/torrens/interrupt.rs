//! Ctrl-C: the first one asks the command to end with what it has, the second one ends it.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// How a command ends that was interrupted.
pub(crate) const EXIT: u8 = 130;

/// Listens from now on. If the system does not let us, Ctrl-C ends the process as it always does.
pub(crate) fn listen() {
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(EXIT.into());
        }
    });
}

/// Whether somebody asked the command to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
