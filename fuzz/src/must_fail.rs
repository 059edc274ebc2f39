//! A target with faults in it, planted to see that the fuzzer would find such: if it does not crash, the lane is
//! broken and whatever else it calls clean means nothing.

/// What an input must begin with to get to a fault.
pub(crate) const WAY: [u8; 3] = *b"TGR";
/// The fault behind it, as the byte that follows: a panic, more memory than is allowed, a read behind the end of
/// an allocation, no end.
pub(crate) const FAULTS: [u8; 4] = *b"pmrh";

/// More than `fuzz/run` allows, in bytes.
const TOO_MUCH_BYTES: usize = 512 << 20;

/// Looks for a fixed word byte by byte, as only coverage finds it, and fails.
///
/// # Panics
/// And worse, on purpose.
pub fn must_fail(data: &[u8]) {
    for (place, wanted) in WAY.iter().enumerate() {
        if data.get(place) != Some(wanted) {
            return;
        }
    }
    match data.get(WAY.len()) {
        Some(b'p') => panic!("planted: the fuzzer found the way"),
        Some(b'm') => {
            std::hint::black_box(vec![1_u8; TOO_MUCH_BYTES]);
        }
        Some(b'r') => read_behind(data),
        Some(b'h') => loop {
            std::hint::black_box(data);
            std::thread::yield_now();
        },
        _ => {}
    }
}

/// Only the address sanitizer sees it.
#[cfg(fuzzing)]
#[expect(unsafe_code, reason = "it must do what only the sanitizer sees")]
fn read_behind(data: &[u8]) {
    let copy = data.to_vec().into_boxed_slice();
    let behind = copy.as_ptr().wrapping_add(copy.len() + 1);
    // SAFETY: none. A target that must fail reads what is not its own; it is built for the fuzzer only.
    std::hint::black_box(unsafe { behind.read_volatile() });
}

/// Without the sanitizer nobody would notice; the test wants a failure too.
#[cfg(not(fuzzing))]
fn read_behind(_: &[u8]) {
    panic!("planted: a read behind the end of an allocation");
}
