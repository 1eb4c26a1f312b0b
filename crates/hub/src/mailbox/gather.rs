//! Small texts that have lain for long are laid together.
//!
//! An allocator gives memory back by the page, and what lies in one page came at the same time. Where most of that has gone, what
//! has stayed holds all of it: with little that is queued somebody could hold much memory. A copy is laid into a page that has others
//! in it already.

use std::sync::Arc;

use super::entry::Entry;
use super::history::History;
use super::{Mailbox, State};

/// A text of this size or more has pages of its own.
const LARGE: usize = 16 * 1024;

impl Mailbox {
    /// Copies the small texts that are queued and kept.
    pub(crate) fn gather(&self) {
        self.state.lock().gather();
    }
}

impl State {
    fn gather(&mut self) {
        // First those that are kept: what is to be sent again is the same.
        if let Some(history) = &mut self.history {
            history.gather();
        }
        for entry in &mut self.queue {
            if let Entry::Forward { text, .. } | Entry::Greeting(text) | Entry::Report(text) | Entry::Reply(text) =
                entry
            {
                copy(text);
            }
        }
    }
}

impl History {
    fn gather(&mut self) {
        for text in self.kept.iter_mut().filter(|text| text.len() < LARGE && Arc::strong_count(text) == 1) {
            *text = Arc::from(&**text);
        }
        self.reports.iter_mut().for_each(copy);
    }
}

fn copy(text: &mut String) {
    if text.len() < LARGE {
        *text = String::from(text.as_str());
    }
}
