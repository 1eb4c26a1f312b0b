//! Whether the server does its work, asked by one who would end it if it did not.
//!
//! A process that is there and answers nobody is worse than one that is gone: nobody starts it again.

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// One question. To send is to answer it.
type Question = oneshot::Sender<()>;

/// Asks the loop that accepts connections.
#[derive(Debug)]
pub(crate) struct Pulse {
    ask: mpsc::Sender<Question>,
    /// Until the loop takes it.
    questions: Mutex<Option<Questions>>,
}

/// What the loop is asked.
#[derive(Debug)]
pub(crate) struct Questions(mpsc::Receiver<Question>);

impl Pulse {
    pub(crate) fn new() -> Self {
        let (ask, questions) = mpsc::channel(1);
        Self { ask, questions: Mutex::new(Some(Questions(questions))) }
    }

    /// For the one loop that answers.
    pub(crate) fn questions(&self) -> Option<Questions> {
        self.questions.lock().take()
    }

    /// Waits until the loop has answered. True at once if there is none any more. The caller sets the deadline.
    pub(crate) async fn beat(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        // Who stops accepts nobody, and is none the worse for it.
        self.ask.send(answer).await.is_err() || answered.await.is_ok() || self.ask.is_closed()
    }
}

impl Questions {
    /// Waits for a question and answers it. Never returns where nobody can ask. Cancel safe.
    pub(crate) async fn answer(&mut self) {
        match self.0.recv().await {
            Some(question) => drop(question.send(())),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn loop_that_answers_is_alive_and_one_that_is_stuck_is_not() {
        let pulse = Pulse::new();
        assert_eq!(pulse.beat().now_or_never(), None, "nobody answers");
        let mut questions = pulse.questions().expect("nobody has them");
        // The first question was given up by who asked it.
        questions.answer().await;
        let (alive, ()) = tokio::join!(pulse.beat(), questions.answer());
        assert!(alive);
        assert!(pulse.questions().is_none());
        drop(questions);
        assert!(pulse.beat().await, "a loop that has ended was told to");
    }
}
