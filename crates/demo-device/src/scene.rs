//! What there is to draw: the device's id, and for each viewer where it last touched.
//!
//! 1. A viewer holds a slot as long as its [`Seat`] lives; the lowest free slot is taken. The slot picks the colour.
//! 2. Everything a viewer can make grow has a bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::input::{InputEvent, MOUSE, Pointer};

/// Fingers remembered of one viewer.
const TOUCHES: usize = 10;

/// A scene that viewers change while it is drawn.
pub(crate) type SharedScene = Arc<Mutex<Scene>>;

/// The state that the picture is a function of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) device_id: String,
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// The latest key, button or wheel, in words.
    pub(crate) last_input: Option<String>,
    viewers: BTreeMap<usize, Vec<Touch>>,
}

/// Where a finger of a viewer is, or last was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) at: Pointer,
    pub(crate) down: bool,
}

impl Scene {
    pub(crate) fn new(device_id: &str, width: u16, height: u16) -> Self {
        Self {
            device_id: device_id.to_owned(),
            width: width.into(),
            height: height.into(),
            last_input: None,
            viewers: BTreeMap::new(),
        }
    }

    /// Takes the lowest free slot.
    pub(crate) fn sit(&mut self) -> usize {
        let slot = (0..).find(|slot| !self.viewers.contains_key(slot)).unwrap_or_default();
        self.viewers.insert(slot, Vec::new());
        slot
    }

    pub(crate) fn leave(&mut self, slot: usize) {
        self.viewers.remove(&slot);
    }

    /// Takes what the viewer in `slot` did.
    pub(crate) fn apply(&mut self, slot: usize, event: &InputEvent) {
        match event {
            InputEvent::Touch { pointers, down } => self.touch(slot, pointers, *down),
            InputEvent::MouseMove { dx, dy } => self.move_mouse(slot, *dx, *dy),
            InputEvent::MouseButton { button, down } => self.press_mouse(slot, *button, *down),
            InputEvent::Wheel { pixels } => self.last_input = Some(format!("wheel {pixels}")),
            InputEvent::Key { code, down } => self.last_input = Some(format!("key {code} {}", word(*down))),
            InputEvent::Button { command, down } => self.last_input = Some(format!("button {command} {}", word(*down))),
        }
    }

    fn touch(&mut self, slot: usize, pointers: &[Pointer], down: bool) {
        let Some(touches) = self.viewers.get_mut(&slot) else { return };
        touches.retain(|touch| touch.down && pointers.iter().all(|at| at.id != touch.at.id));
        touches.extend(pointers.iter().map(|at| Touch { at: *at, down }));
        let surplus = touches.len().saturating_sub(TOUCHES);
        touches.drain(..surplus);
    }

    fn move_mouse(&mut self, slot: usize, dx: i32, dy: i32) {
        let mouse = self.mouse(slot);
        let x = mouse.at.x.saturating_add(dx).clamp(0, self.width - 1);
        let y = mouse.at.y.saturating_add(dy).clamp(0, self.height - 1);
        self.touch(slot, &[Pointer { id: MOUSE, x, y }], mouse.down);
    }

    fn press_mouse(&mut self, slot: usize, button: i32, down: bool) {
        let mouse = self.mouse(slot);
        if mouse.down != down {
            self.last_input = Some(format!("mouse button {button} {}", word(down)));
        }
        self.touch(slot, &[mouse.at], down);
    }

    /// The mouse of a viewer, in the middle of the picture until it moves.
    fn mouse(&self, slot: usize) -> Touch {
        let middle = Touch { at: Pointer { id: MOUSE, x: self.width / 2, y: self.height / 2 }, down: false };
        let mut touches = self.viewers.get(&slot).into_iter().flatten();
        touches.find(|touch| touch.at.id == MOUSE).copied().unwrap_or(middle)
    }

    pub(crate) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// Every touch to mark, with the slot of its viewer.
    pub(crate) fn touches(&self) -> impl Iterator<Item = (usize, Touch)> {
        self.viewers.iter().flat_map(|(slot, touches)| touches.iter().map(|touch| (*slot, *touch)))
    }
}

fn word(down: bool) -> &'static str {
    if down { "down" } else { "up" }
}

/// A viewer's place in the scene; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    scene: SharedScene,
    slot: usize,
}

impl Seat {
    pub(crate) fn take(scene: &SharedScene) -> Self {
        let slot = scene.lock().sit();
        Self { scene: Arc::clone(scene), slot }
    }

    pub(crate) fn apply(&self, event: &InputEvent) {
        self.scene.lock().apply(self.slot, event);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.scene.lock().leave(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(id: i32, x: i32, y: i32, down: bool) -> InputEvent {
        InputEvent::Touch { pointers: vec![Pointer { id, x, y }], down }
    }

    fn marks(scene: &Scene) -> Vec<(usize, i32, i32, bool)> {
        scene.touches().map(|(slot, touch)| (slot, touch.at.x, touch.at.y, touch.down)).collect()
    }

    #[test]
    fn a_released_finger_stays_until_the_next_touch() {
        let mut scene = Scene::new("d", 360, 640);
        let slot = scene.sit();
        scene.apply(slot, &touch(1, 10, 20, true));
        scene.apply(slot, &touch(1, 11, 21, false));
        assert_eq!(marks(&scene), [(0, 11, 21, false)]);
        scene.apply(slot, &touch(2, 30, 40, true));
        assert_eq!(marks(&scene), [(0, 30, 40, true)]);
    }

    #[test]
    fn two_fingers_are_both_marked() {
        let mut scene = Scene::new("d", 360, 640);
        let slot = scene.sit();
        scene.apply(slot, &touch(1, 10, 20, true));
        scene.apply(slot, &touch(2, 30, 40, true));
        assert_eq!(marks(&scene), [(0, 10, 20, true), (0, 30, 40, true)]);
    }

    #[test]
    fn fingers_that_never_lift_are_bounded() {
        let mut scene = Scene::new("d", 360, 640);
        let slot = scene.sit();
        for id in 0..100 {
            scene.apply(slot, &touch(id, id, 0, true));
        }
        assert_eq!(scene.touches().count(), TOUCHES);
        assert_eq!(marks(&scene)[TOUCHES - 1], (0, 99, 0, true));
    }

    #[test]
    fn a_captured_mouse_stays_inside_and_keeps_its_button() {
        let mut scene = Scene::new("d", 360, 640);
        let slot = scene.sit();
        scene.apply(slot, &InputEvent::MouseMove { dx: 5, dy: -5 });
        assert_eq!(marks(&scene), [(0, 185, 315, false)]);
        scene.apply(slot, &InputEvent::MouseButton { button: 0, down: true });
        scene.apply(slot, &InputEvent::MouseMove { dx: i32::MAX, dy: i32::MIN });
        assert_eq!(marks(&scene), [(0, 359, 0, true)]);
        assert_eq!(scene.last_input.as_deref(), Some("mouse button 0 down"));
    }

    #[test]
    fn a_freed_slot_is_taken_again() {
        let scene = Arc::new(Mutex::new(Scene::new("d", 360, 640)));
        let first = Seat::take(&scene);
        let second = Seat::take(&scene);
        first.apply(&touch(1, 1, 1, true));
        second.apply(&touch(1, 2, 2, true));
        drop(first);
        assert_eq!(marks(&scene.lock()), [(1, 2, 2, true)]);
        let third = Seat::take(&scene);
        assert_eq!((second.slot, third.slot), (1, 0));
        assert_eq!(scene.lock().viewers(), 2);
    }
}
