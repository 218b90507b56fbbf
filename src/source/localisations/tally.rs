//! What went into each density map, for whoever takes the maps.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What a density map was drawn of, from the table's start on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Camera frames from the first localisation's up to the newest.
    pub camera_frames: u64,
    /// Localisations in the map.
    pub localisations: u64,
    /// Localisations outside the map.
    pub outside: u64,
    /// Localisations of a camera frame that an earlier map had passed already; they are in the later ones.
    pub late: u64,
}

/// Shared between a source that draws maps and whoever wants to know what is in them.
///
/// It holds the counts of the maps that have been read and not been taken, a handful.
#[derive(Debug, Default)]
pub struct Tally {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    maps: VecDeque<(u64, Count)>,
    newest: Count,
    notes: Vec<String>,
}

impl Tally {
    /// What map number `index` was drawn of, once; counts of earlier ones are forgotten.
    pub fn take(&self, index: u64) -> Option<Count> {
        let mut state = self.lock();
        while state.maps.front().is_some_and(|(i, _)| *i < index) {
            state.maps.pop_front();
        }
        let here = state.maps.front().is_some_and(|(i, _)| *i == index);
        if here { state.maps.pop_front().map(|(_, count)| count) } else { None }
    }

    /// What the newest map was drawn of.
    pub fn newest(&self) -> Count {
        self.lock().newest
    }

    /// What a user should know of the table, as far as it has been read; each one sentence.
    pub fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }

    pub(super) fn add(&self, index: u64, count: Count) {
        let mut state = self.lock();
        state.maps.push_back((index, count));
        state.newest = count;
    }

    pub(super) fn note(&self, notes: Vec<String>) {
        self.lock().notes.extend(notes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
