//! Draws and encodes the picture, once for all viewers, and only while there are any.
//!
//! Each frame replaces the one before it: a viewer that is slow gets fewer frames, and holds nobody up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::options::Media;
use crate::scene::SharedScene;
use crate::{clock, picture, vp8};

/// An encoded picture.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) vp8: Arc<[u8]>,
    pub(crate) captured: Instant,
}

/// A viewer's view of the frames: always the newest.
pub(crate) type Frames = watch::Receiver<Option<Frame>>;

/// The source of frames.
#[derive(Debug)]
pub(crate) struct Camera {
    scene: SharedScene,
    frame_time: Duration,
    quality: u8,
    tracker: TaskTracker,
    frames: watch::Sender<Option<Frame>>,
    watched: Notify,
    encoded: AtomicU64,
}

impl Camera {
    pub(crate) fn new(scene: SharedScene, media: &Media, tracker: TaskTracker) -> Self {
        Self {
            scene,
            frame_time: media.frame_time(),
            quality: media.quality,
            tracker,
            frames: watch::Sender::new(None),
            watched: Notify::new(),
            encoded: AtomicU64::new(0),
        }
    }

    /// Frames from now on. Drop it to stop watching.
    pub(crate) fn watch(&self) -> Frames {
        let frames = self.frames.subscribe();
        self.watched.notify_one();
        frames
    }

    /// How many frames were encoded so far.
    pub(crate) fn encoded(&self) -> u64 {
        self.encoded.load(Ordering::Relaxed)
    }

    /// Runs until `cancel`.
    pub(crate) async fn run(&self, cancel: CancellationToken) {
        let mut ticks = interval(self.frame_time);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        cancel.run_until_cancelled(self.film(ticks)).await;
    }

    async fn film(&self, mut ticks: Interval) {
        loop {
            while self.frames.receiver_count() == 0 {
                self.watched.notified().await;
            }
            let captured = ticks.tick().await.into_std();
            let Some(vp8) = self.encode().await else { return };
            self.encoded.fetch_add(1, Ordering::Relaxed);
            self.frames.send_replace(Some(Frame { vp8, captured }));
        }
    }

    /// Encoding takes milliseconds of CPU, so it has a thread of its own.
    async fn encode(&self) -> Option<Arc<[u8]>> {
        let (scene, quality) = (self.scene.lock().clone(), self.quality);
        let since_epoch = clock::since_epoch();
        let encode = move || vp8::encode(&picture::draw(&scene, since_epoch), quality);
        match self.tracker.spawn_blocking(encode).await {
            Ok(Ok(vp8)) => Some(vp8.into()),
            Ok(Err(error)) => {
                tracing::error!(%error, "the picture can't be encoded");
                None
            }
            Err(error) => {
                tracing::error!(%error, "drawing the picture failed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::scene::Scene;

    fn camera() -> Arc<Camera> {
        let media = Media { width: 32, height: 32, fps: 60, ..Media::default() };
        let scene = Arc::new(Mutex::new(Scene::new("cvd-1", media.width, media.height)));
        Arc::new(Camera::new(scene, &media, TaskTracker::new()))
    }

    #[tokio::test]
    async fn viewers_share_one_encoding() {
        let camera = camera();
        let cancel = CancellationToken::new();
        let running = tokio::task::LocalSet::new();
        let task = Arc::clone(&camera);
        let stop = cancel.clone();
        running.spawn_local(async move { task.run(stop).await });
        running
            .run_until(async {
                let (mut first, mut second) = (camera.watch(), camera.watch());
                for _ in 0..3 {
                    first.changed().await.unwrap();
                    second.changed().await.unwrap();
                    let (a, b) =
                        (first.borrow_and_update().clone().unwrap(), second.borrow_and_update().clone().unwrap());
                    assert!(Arc::ptr_eq(&a.vp8, &b.vp8));
                    assert_eq!(vp8::key_frame_size(&a.vp8), Some((32, 32)));
                }
            })
            .await;
        cancel.cancel();
        running.await;
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_encoded_while_nobody_watches() {
        let camera = camera();
        let watch = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(camera.encoded(), 0);
            let mut frames = camera.watch();
            frames.changed().await.unwrap();
            drop(frames);
            let before = camera.encoded();
            tokio::time::sleep(Duration::from_secs(10)).await;
            // One may have been under way when the last viewer left.
            assert!(camera.encoded() <= before + 1, "{} after {before}", camera.encoded());
        };
        tokio::select! {
            () = camera.run(CancellationToken::new()) => unreachable!("nobody cancels it"),
            () = watch => {}
        }
    }
}
