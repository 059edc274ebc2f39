//! torrens-recovery
