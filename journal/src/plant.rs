//! Bugs that are put in on purpose, to see which tests find them (`tests/planted`, docs/RELIABILITY.md).
//!
//! Each stands where it would be made, behind `cfg(torrens_plant)`; a build with that chooses one by
//! `TORRENS_PLANT=NAME` when it starts. Without it [`planted!`](crate::planted) is the constant `false`.

/// Whether the bug of that name is in force.
#[cfg(torrens_plant)]
pub fn is_planted(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("TORRENS_PLANT").ok());
    chosen.as_deref() == Some(name)
}

/// Never: this is not a build with planted bugs.
#[cfg(not(torrens_plant))]
pub const fn is_planted(_name: &str) -> bool {
    false
}

/// Whether the planted bug of that name is in force: never, except where the harness is graded.
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::plant::is_planted($name)
    };
}
