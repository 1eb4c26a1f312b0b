//! What viewers send on their data channels, as far as the test picture shows it.
//!
//! The shapes are those of the Cuttlefish page and device (google/android-cuttlefish, `html_client/js/cf_webrtc.js` and
//! `libdevice/data_channels.cpp`, August 2026). On `input-channel`, one JSON object a text message:
//!
//! | `type` | other fields | meaning |
//! |---|---|---|
//! | `multi-touch` | `id`, `x`, `y`: arrays of equal length; `down`: 1 or 0; `device_label`: `"display_0"` | fingers, pen, or a mouse with a button held. Pixels of the video from the top left. A move is `down` 1 again with the same id |
//! | `keyboard` | `keycode`: a `KeyboardEvent.code`; `event_type`: `keydown` or `keyup` | a key |
//! | `wheel` | `pixels` | the wheel over the picture |
//! | `mouseMove` | `x`, `y`: **relative** | a captured mouse; only if `device_info.mouse_enabled` |
//! | `mouseButton` | `button`: 0 left, 1 middle, 2 right; `down` | the same |
//! | `mouseWheel` | `pixels` | the same |
//! | `gamepadKey` | `id`: a string, `button`, `down` | only if `device_info.gamepad_enabled` |
//! | `gamepadMotion` | `button`, `value` | the same |
//! | `mouse` | `x`, `y`: absolute; `down` | pages until 2024, read as a touch. They also name the display `display_label`, and add `slot` to `multi-touch` |
//!
//! On `device-control`, `{"command":"power"|"back"|"home"|"menu"|"volumedown"|"volumeup"|…,"button_state":"down"|"up"}`
//! is a button; its other commands (`device_state`, `display`, `camera_…`) change nothing here.
//!
//! The real device takes integers only and ends nothing over a message it can't read. This one reads any number and
//! any truth value, and ignores the rest too.

use serde_json::Value;

/// Longer messages are not read at all.
const MESSAGE_BYTES: usize = 16 * 1024;
/// More fingers in one message are not read.
const POINTERS: usize = 10;
/// The id that an absolute mouse gets among the pointers; browsers count theirs from 0.
pub(crate) const MOUSE: i32 = -1;
/// Names of keys and commands are cut here.
const NAME_CHARS: usize = 24;

/// One thing a viewer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputEvent {
    Touch { pointers: Vec<Pointer>, down: bool },
    MouseMove { dx: i32, dy: i32 },
    MouseButton { button: i32, down: bool },
    Wheel { pixels: i32 },
    Key { code: String, down: bool },
    Button { command: String, down: bool },
}

/// A finger at a place of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) id: i32,
    pub(crate) x: i32,
    pub(crate) y: i32,
}

/// Reads a message of `input-channel`.
pub(crate) fn parse_input(message: &[u8]) -> Option<InputEvent> {
    let value = parse(message)?;
    let field = |name: &str| value.get(name).and_then(integer);
    let down = value.get("down").is_some_and(truth);
    Some(match value.get("type")?.as_str()? {
        "multi-touch" => InputEvent::Touch { pointers: pointers(&value)?, down },
        "mouse" => InputEvent::Touch { pointers: vec![Pointer { id: MOUSE, x: field("x")?, y: field("y")? }], down },
        "mouseMove" => InputEvent::MouseMove { dx: field("x")?, dy: field("y")? },
        "mouseButton" => InputEvent::MouseButton { button: field("button")?, down },
        "wheel" | "mouseWheel" => InputEvent::Wheel { pixels: field("pixels")? },
        "keyboard" => InputEvent::Key {
            code: name(value.get("keycode")?)?,
            down: value.get("event_type").and_then(Value::as_str) == Some("keydown"),
        },
        "gamepadKey" => InputEvent::Button { command: format!("pad {}", field("button")?), down },
        _ => return None,
    })
}

/// Reads a message of `device-control`.
pub(crate) fn parse_control(message: &[u8]) -> Option<InputEvent> {
    let value = parse(message)?;
    let down = value.get("button_state")?.as_str()? == "down";
    Some(InputEvent::Button { command: name(value.get("command")?)?, down })
}

fn parse(message: &[u8]) -> Option<Value> {
    if message.len() > MESSAGE_BYTES { None } else { serde_json::from_slice(message).ok() }
}

fn pointers(value: &Value) -> Option<Vec<Pointer>> {
    let array = |name: &str| value.get(name).and_then(Value::as_array);
    let (ids, xs, ys) = (array("id")?, array("x")?, array("y")?);
    if ids.is_empty() || ids.len() > POINTERS || ids.len() != xs.len() || ids.len() != ys.len() {
        return None;
    }
    let pointer = |((id, x), y)| Some(Pointer { id: integer(id)?, x: integer(x)?, y: integer(y)? });
    ids.iter().zip(xs).zip(ys).map(pointer).collect()
}

fn integer(value: &Value) -> Option<i32> {
    // A cast of a float to an integer saturates.
    value.as_f64().map(|number| number as i32)
}

fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| integer(value).is_some_and(|number| number != 0))
}

fn name(value: &Value) -> Option<String> {
    value.as_str().map(|name| name.chars().take(NAME_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(pointers: &[(i32, i32, i32)], down: bool) -> InputEvent {
        let pointers = pointers.iter().map(|&(id, x, y)| Pointer { id, x, y }).collect();
        InputEvent::Touch { pointers, down }
    }

    #[test]
    fn reads_what_the_page_sends() {
        let table = [
            (
                r#"{"type":"multi-touch","id":[3],"x":[10],"y":[20],"down":1,"device_label":"display_0"}"#,
                touch(&[(3, 10, 20)], true),
            ),
            (
                r#"{"type":"multi-touch","id":[1,2],"x":[10,30],"y":[20,40],"down":0,"device_label":"display_0"}"#,
                touch(&[(1, 10, 20), (2, 30, 40)], false),
            ),
            (
                r#"{"type":"multi-touch","id":[0],"x":[1],"y":[2],"down":1,"slot":[0],"display_label":"display_0"}"#,
                touch(&[(0, 1, 2)], true),
            ),
            (r#"{"type":"mouse","x":5,"y":6.9,"down":true,"display_label":"display_0"}"#, touch(&[(-1, 5, 6)], true)),
            (r#"{"type":"mouseMove","x":-3,"y":4}"#, InputEvent::MouseMove { dx: -3, dy: 4 }),
            (r#"{"type":"mouseButton","button":2,"down":1}"#, InputEvent::MouseButton { button: 2, down: true }),
            (r#"{"type":"wheel","pixels":-120}"#, InputEvent::Wheel { pixels: -120 }),
            (r#"{"type":"mouseWheel","pixels":7}"#, InputEvent::Wheel { pixels: 7 }),
            (
                r#"{"type":"keyboard","keycode":"KeyA","event_type":"keydown"}"#,
                InputEvent::Key { code: "KeyA".to_owned(), down: true },
            ),
            (
                r#"{"type":"keyboard","keycode":"KeyA","event_type":"keyup"}"#,
                InputEvent::Key { code: "KeyA".to_owned(), down: false },
            ),
        ];
        for (message, event) in table {
            assert_eq!(parse_input(message.as_bytes()), Some(event), "{message}");
        }
    }

    #[test]
    fn reads_buttons_of_the_control_panel() {
        let button = InputEvent::Button { command: "home".to_owned(), down: true };
        assert_eq!(parse_control(br#"{"command":"home","button_state":"down"}"#), Some(button));
        assert_eq!(parse_control(br#"{"command":"display","refresh_display":0}"#), None);
    }

    #[test]
    fn ignores_what_it_does_not_know() {
        let deep = "[".repeat(5_000);
        let long = format!(r#"{{"type":"wheel","pixels":1,"more":"{}"}}"#, "x".repeat(MESSAGE_BYTES));
        let table = [
            "",
            "\u{0}\u{1}",
            "[]",
            "null",
            r#"{"type":7}"#,
            r#"{"type":"unknown"}"#,
            r#"{"type":"mouseMove","x":"1","y":2}"#,
            r#"{"type":"multi-touch","id":[1,2],"x":[1],"y":[2],"down":1}"#,
            r#"{"type":"multi-touch","id":[],"x":[],"y":[],"down":1}"#,
            r#"{"type":"multi-touch","id":[0,1,2,3,4,5,6,7,8,9,10],"x":[0,1,2,3,4,5,6,7,8,9,10],"y":[0,1,2,3,4,5,6,7,8,9,10],"down":1}"#,
            r#"{"type":"keyboard"}"#,
            &deep,
            &long,
        ];
        for message in table {
            assert_eq!(parse_input(message.as_bytes()), None, "{message}");
        }
        assert_eq!(parse_input(&[0xff, 0xfe]), None);
    }

    #[test]
    fn numbers_and_names_out_of_range_are_cut() {
        let message = br#"{"type":"mouseMove","x":1e300,"y":-99999999999}"#;
        assert_eq!(parse_input(message), Some(InputEvent::MouseMove { dx: i32::MAX, dy: i32::MIN }));
        let message = format!(r#"{{"type":"keyboard","keycode":"{}"}}"#, "é".repeat(1000));
        let Some(InputEvent::Key { code, .. }) = parse_input(message.as_bytes()) else { panic!("not a key") };
        assert_eq!(code.chars().count(), NAME_CHARS);
    }
}
