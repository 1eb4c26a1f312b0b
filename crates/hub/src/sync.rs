//! The locks and atomics of the hub. No other file names them.
//!
//! Ordinarily they are those of `parking_lot` and of the standard library. With `--cfg loom` they are loom's, which run the
//! threads of a model in every order, and let an atomic be read as late as the memory model allows: see `tests/loom`.
//!
//! `Arc` and `OnceLock` are the standard library's in both: nothing here depends on how many hold an `Arc` (but for which
//! budgets are found again, and no model has more than one), and no lock of ours is taken while a `OnceLock` is filled.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::Ordering;

#[cfg(not(loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(loom)]
pub(crate) use loom::sync::MutexGuard;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub(crate) use modelled::Mutex;

/// Loom's locks with the interface of `parking_lot`: a panic ends the model, so that none is ever poisoned.
#[cfg(loom)]
mod modelled {
    use std::sync::PoisonError;

    use loom::sync::MutexGuard;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
