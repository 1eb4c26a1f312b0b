//! Small texts that have lain for long are laid together.
//!
//! An allocator gives memory back by the page, and what lies in one page came at the same time. Where most of that has gone, what
//! has stayed holds all of it: with little that is queued somebody could hold much memory. A copy is laid into a page that has others
//! in it already; but into the place of what was just freed, if anything was.

use std::mem::replace;
use std::sync::Arc;

use super::entry::Entry;
use super::history::History;
use super::{Mailbox, State};

/// A text of this size or more has pages of its own.
const LARGE: usize = 16 * 1024;
/// So many bytes are there twice, until they are freed together.
const AT_ONCE: usize = 1024 * 1024;

/// What was copied, and is freed later.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    queued: Vec<String>,
    kept: Vec<Arc<str>>,
    bytes: usize,
}

impl Mailbox {
    /// Copies the small texts that are queued and kept.
    pub(crate) fn gather(&self, copied: &mut Copied) {
        self.state.lock().gather(copied);
    }
}

impl State {
    fn gather(&mut self, copied: &mut Copied) {
        // First those that are kept: what is to be sent again is the same.
        if let Some(history) = &mut self.history {
            history.gather(copied);
        }
        for entry in &mut self.queue {
            if let Entry::Forward { text, .. } | Entry::Greeting(text) | Entry::Report(text) | Entry::Reply(text) =
                entry
            {
                copied.copy(text);
            }
        }
    }
}

impl History {
    fn gather(&mut self, copied: &mut Copied) {
        for text in self.kept.iter_mut().filter(|text| text.len() < LARGE && Arc::strong_count(text) == 1) {
            let copy = Arc::from(&**text);
            copied.kept.push(replace(text, copy));
            copied.count(text.len());
        }
        self.reports.iter_mut().for_each(|text| copied.copy(text));
    }
}

impl Copied {
    fn copy(&mut self, text: &mut String) {
        if text.len() < LARGE {
            let copy = String::from(text.as_str());
            self.queued.push(replace(text, copy));
            self.count(text.len());
        }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes > AT_ONCE {
            *self = Self::default();
        }
    }
}
