//! The newest picture, for one writer that never waits and any number of readers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is looked at, and what is drawn next.
#[derive(Debug, Default)]
pub(super) struct Slot<T> {
    shown: Mutex<Arc<T>>,
    spare: Mutex<Arc<T>>,
}

impl<T> Slot<T> {
    /// Draw the next picture and show it; false where a reader still holds the one to draw on.
    pub(super) fn put(&self, draw: impl FnOnce(&mut T)) -> bool {
        let mut spare = locked(&self.spare);
        let Some(picture) = Arc::get_mut(&mut spare) else { return false };
        draw(picture);
        std::mem::swap(&mut *locked(&self.shown), &mut *spare);
        true
    }

    /// The newest picture.
    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&locked(&self.shown))
    }
}

/// What the mutexes of this room guard is whole after every step: a panic elsewhere does not spoil it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_its_picture_and_holds_up_nobody() {
        let slot = Slot::<u32>::default();
        assert!(slot.put(|v| *v = 1));
        let held = slot.get();
        assert!(slot.put(|v| *v = 2));
        // The picture to draw on is the one that is held.
        assert!(!slot.put(|v| *v = 3));
        assert_eq!((*held, *slot.get()), (1, 2));
        drop(held);
        assert!(slot.put(|v| *v = 4));
        assert_eq!(*slot.get(), 4);
    }
}
