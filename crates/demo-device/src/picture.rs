//! The test picture, a pure function of the scene and the time of day.
//!
//! From top to bottom, in pixels of a picture 640 high (others are scaled): the clock (30), moving bars (110 to 210),
//! room to touch (220 to 420), how many watch and what was last pressed (450), the device's id (590). The markers of
//! touches lie over all of it.

use std::time::Duration;

use crate::canvas::{Canvas, Rgb};
use crate::font;
use crate::scene::Scene;

const BACKGROUND: Rgb = [0x10, 0x18, 0x20];
const TEXT: Rgb = [0xf0, 0xf0, 0xf0];
const DIM: Rgb = [0x90, 0xa0, 0xb0];
const BARS: [Rgb; 7] = [
    [0xc0, 0xc0, 0xc0],
    [0xc0, 0xc0, 0x20],
    [0x20, 0xc0, 0xc0],
    [0x20, 0xc0, 0x20],
    [0xc0, 0x20, 0xc0],
    [0xc0, 0x20, 0x20],
    [0x20, 0x20, 0xc0],
];
/// One for each slot of a viewer, then from the start again.
const MARKERS: [Rgb; 4] = [[0xff, 0x00, 0xff], [0xff, 0xff, 0x00], [0x00, 0xff, 0xff], [0xff, 0x88, 0x00]];
const PRESSED_RADIUS: i32 = 14;
const RELEASED_RADIUS: i32 = 10;
/// The height the layout is written for.
const LAYOUT_HEIGHT: i32 = 640;
/// The time in which the bars are back where they were.
const BARS_LOOP: Duration = Duration::from_secs(3);
const MARGIN: i32 = 12;
const MAX_SCALE: i32 = 8;

/// Draws `scene` at `since_epoch`, the time since 1970 in UTC.
pub(crate) fn draw(scene: &Scene, since_epoch: Duration) -> Canvas {
    let mut page = Page {
        canvas: Canvas::new(scene.width as usize, scene.height as usize, BACKGROUND),
        width: scene.width,
        height: scene.height,
    };
    page.line(30, 4, &clock(since_epoch), TEXT);
    page.bars(since_epoch);
    page.line(450, 2, &watching(scene.viewers()), DIM);
    page.line(490, 2, &font::printable(scene.last_input.as_deref().unwrap_or("touch the picture")), DIM);
    page.line(590, 3, &font::printable(&scene.device_id), TEXT);
    for (slot, touch) in scene.touches() {
        let radius = if touch.down { PRESSED_RADIUS } else { RELEASED_RADIUS };
        page.canvas.disc(touch.at.x, touch.at.y, radius, MARKERS[slot % MARKERS.len()]);
    }
    page.canvas
}

struct Page {
    canvas: Canvas,
    width: i32,
    height: i32,
}

impl Page {
    /// A centred line of text, as large as fits up to `scale` on a small picture; cut if even the smallest is too wide.
    fn line(&mut self, y: i32, scale: i32, text: &str, colour: Rgb) {
        let room = (self.width - 2 * MARGIN).max(0);
        let advance = font::ADVANCE as i32;
        let fitting: String = text.chars().take((room / advance) as usize).collect();
        let width = (fitting.len() as i32 * advance).max(1);
        let scale = (room / width).clamp(1, self.scaled(scale).clamp(1, MAX_SCALE));
        self.canvas.text((self.width - width * scale) / 2, self.scaled(y), scale, &fitting, colour);
    }

    /// Coloured bars that run to the left.
    fn bars(&mut self, since_epoch: Duration) {
        let bar = (self.width + BARS.len() as i32 - 1) / BARS.len() as i32;
        let phase = since_epoch.as_millis() % BARS_LOOP.as_millis();
        let moved = phase as i32 * bar * BARS.len() as i32 / BARS_LOOP.as_millis() as i32;
        let (top, bottom) = (self.scaled(110), self.scaled(210));
        for (i, colour) in (0..).zip(BARS.iter().cycle().take(2 * BARS.len() + 1)) {
            self.canvas.rect(i * bar - moved, top, bar, bottom - top, *colour);
        }
    }

    fn scaled(&self, y: i32) -> i32 {
        y * self.height / LAYOUT_HEIGHT
    }
}

/// `HH:MM:SS.mmm`, UTC.
fn clock(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", since_epoch.subsec_millis())
}

fn watching(viewers: usize) -> String {
    if viewers == 1 { "1 viewer".to_owned() } else { format!("{viewers} viewers") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{InputEvent, Pointer};

    const NOON: Duration = Duration::from_secs(12 * 3600);

    fn scene() -> Scene {
        Scene::new("cvd-1", 360, 640)
    }

    fn rows(canvas: &Canvas, from: usize, to: usize) -> &[u8] {
        &canvas.rgba()[from * canvas.width() * 4..to * canvas.width() * 4]
    }

    fn touch(x: i32, y: i32, down: bool) -> InputEvent {
        InputEvent::Touch { pointers: vec![Pointer { id: 1, x, y }], down }
    }

    #[test]
    fn the_same_state_and_time_give_the_same_picture() {
        assert_eq!(draw(&scene(), NOON), draw(&scene(), NOON));
    }

    #[test]
    fn clock_and_bars_move_with_time_and_nothing_else_does() {
        let before = draw(&scene(), NOON);
        let after = draw(&scene(), NOON + Duration::from_millis(67));
        assert_ne!(rows(&before, 20, 90), rows(&after, 20, 90));
        assert_ne!(rows(&before, 110, 210), rows(&after, 110, 210));
        assert_eq!(rows(&before, 220, 640), rows(&after, 220, 640));
    }

    #[test]
    fn the_clock_shows_milliseconds() {
        assert_eq!(clock(Duration::from_millis(1_000 * (86_400 + 3_723) + 45)), "01:02:03.045");
    }

    #[test]
    fn a_marker_is_where_the_viewer_touched() {
        let mut scene = scene();
        let (first, second) = (scene.sit(), scene.sit());
        scene.apply(first, &touch(100, 300, true));
        scene.apply(second, &touch(200, 350, false));
        let canvas = draw(&scene, NOON);
        assert_eq!(canvas.pixel(100, 300), MARKERS[0]);
        assert_eq!(canvas.pixel(100 + 13, 300), MARKERS[0]);
        assert_eq!(canvas.pixel(200, 350), MARKERS[1]);
        assert_eq!(canvas.pixel(200 + 13, 350), BACKGROUND);
    }

    #[test]
    fn touches_outside_the_picture_do_no_harm() {
        let mut scene = scene();
        let slot = scene.sit();
        scene.apply(slot, &touch(i32::MIN, i32::MAX, true));
        let empty = draw(&scene, NOON);
        scene.leave(slot);
        scene.sit();
        assert_eq!(draw(&scene, NOON), empty);
    }

    #[test]
    fn the_id_and_the_last_key_are_shown() {
        let base = draw(&scene(), NOON);
        let mut other = Scene::new("cvd-2", 360, 640);
        assert_ne!(rows(&draw(&other, NOON), 590, 640), rows(&base, 590, 640));
        let slot = other.sit();
        let before = draw(&other, NOON);
        other.apply(slot, &InputEvent::Key { code: "KeyA".to_owned(), down: true });
        assert_ne!(rows(&draw(&other, NOON), 480, 520), rows(&before, 480, 520));
    }

    #[test]
    fn every_size_and_every_id_can_be_drawn() {
        for (width, height) in [(16, 16), (64, 2000), (2000, 64), (1080, 1920)] {
            let id = "\u{1f419}<script>".repeat(30);
            let canvas = draw(&Scene::new(&id, width, height), NOON);
            assert_eq!((canvas.width(), canvas.height()), (width.into(), height.into()));
        }
    }
}
