//! Running code that may panic, with the panic turned into a value and not printed.
//!
//! The process has one panic hook. On first use this module puts itself in front of the one that
//! is there: a panic on a thread that is inside [`catch`] is kept in a thread-local and not
//! printed, and every other panic goes to the hook that was there before. It stays: taking it out
//! again could throw away a hook that the host set meanwhile. If the host replaces the hook later,
//! panics are still caught, only printed too.
//!
//! Not here: what a caught panic means (`sled`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// How many [`catch`] calls this thread is inside.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What the hook kept for the [`catch`] that is unwinding.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; if it panics, the answer is the panic's message and place.
///
/// `work` may leave what it touches broken: the caller uses none of it again afterwards.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install();
    DEPTH.set(DEPTH.get().saturating_add(1));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get().saturating_sub(1));
    outcome.map_err(|payload| {
        let from_hook = CAUGHT.with_borrow_mut(Option::take);
        let message = from_hook.unwrap_or_else(|| payload_text(&*payload).to_owned());
        // A payload may panic in its own drop; it is small, so it is left behind.
        std::mem::forget(payload);
        message
    })
}

fn install() {
    static INSTALLED: Once = Once::new();
    // The hook cannot be changed from a panicking thread; a later call gets its turn.
    if INSTALLED.is_completed() || std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                before(info);
            } else {
                CAUGHT.set(Some(describe(info)));
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let text = payload_text(info.payload());
    match info.location() {
        Some(place) => format!("{text} ({place})"),
        None => text.to_owned(),
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    match (
        payload.downcast_ref::<&'static str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic without a message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place_and_the_next_call_is_unaffected() {
        let message = catch(|| -> u32 { panic!("page {} is gone", 7) }).unwrap_err();
        assert!(message.starts_with("page 7 is gone ("), "{message}");
        assert!(message.contains("panic_guard.rs"), "{message}");
        assert_eq!(catch(|| 5), Ok(5));
        let odd = catch(|| panic::panic_any(7_u8)).unwrap_err();
        assert!(odd.starts_with("a panic without a message"), "{odd}");
    }

    #[test]
    fn panics_of_other_threads_reach_the_hook_that_was_there() {
        // The hook in front of ours cannot be asked without changing it for every test of the
        // process, so the rule that it follows is tested: only threads inside `catch` are quiet.
        catch(|| {
            assert_eq!(DEPTH.get(), 1);
            let depth_elsewhere = std::thread::spawn(|| DEPTH.get()).join().unwrap();
            assert_eq!(depth_elsewhere, 0);
        })
        .unwrap();
        assert_eq!(DEPTH.get(), 0);
    }
}
