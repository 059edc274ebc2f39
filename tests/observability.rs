//! What a store says of itself: docs/OBSERVABILITY.md, the dashboard and the alerts name what is really
//! given, and what is given is there; a slow transition says in which step it was slow.
//!
//! With the features `metrics` and `tracing` the engine is listened to as well (`observability/`).

mod observability {
    mod documents;
    #[cfg(feature = "metrics")]
    mod numbers;
    mod slow;
    #[cfg(feature = "tracing")]
    mod told;
    mod world;
}
