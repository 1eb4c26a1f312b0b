//! What a demo device can be told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::value::RawValue;

use crate::peer::STREAM_ID;

/// The picture, and where and to how many viewers it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The address that sockets are bound to and that viewers are offered. Default 127.0.0.1: only viewers on the same
    /// machine, or with a relay there.
    pub bind: IpAddr,
    /// Width of the picture in pixels, 16 to 4096. Default 360.
    pub width: u16,
    /// Height of the picture in pixels, 16 to 4096. Default 640.
    pub height: u16,
    /// Pictures a second, 1 to 60. Default 15.
    pub fps: u8,
    /// Quality of the encoded picture, 0 to 100. Default 50.
    pub quality: u8,
    /// Viewers at once; further ones are refused. Default 16.
    pub max_viewers: usize,
}

impl Default for Media {
    fn default() -> Self {
        Self { bind: Ipv4Addr::LOCALHOST.into(), width: 360, height: 640, fps: 15, quality: 50, max_viewers: 16 }
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMedia {
    /// Viewers can't be offered an unspecified or a multicast address.
    #[error("the device needs one address of this machine to offer to viewers, not {0}")]
    Bind(IpAddr),
    /// The picture is too small or too large.
    #[error("the picture is 16 to 4096 pixels wide and high, not {0} x {1}")]
    Size(u16, u16),
    /// Too few or too many pictures a second.
    #[error("1 to 60 pictures a second, not {0}")]
    Fps(u8),
    /// Quality is a percentage.
    #[error("quality is 0 to 100, not {0}")]
    Quality(u8),
}

impl Media {
    pub(crate) fn check(&self) -> Result<(), InvalidMedia> {
        let size = 16..=4096;
        if self.bind.is_unspecified() || self.bind.is_multicast() {
            return Err(InvalidMedia::Bind(self.bind));
        }
        if !size.contains(&self.width) || !size.contains(&self.height) {
            return Err(InvalidMedia::Size(self.width, self.height));
        }
        if !(1..=60).contains(&self.fps) {
            return Err(InvalidMedia::Fps(self.fps));
        }
        if self.quality > 100 {
            return Err(InvalidMedia::Quality(self.quality));
        }
        Ok(())
    }

    pub(crate) fn frame_time(&self) -> Duration {
        Duration::from_secs(1) / u32::from(self.fps.max(1))
    }

    /// What the device says about itself when it registers, with every field a Cuttlefish page reads.
    ///
    /// # Errors
    /// None in practice: the object is made here.
    pub fn device_info(&self) -> Result<Box<RawValue>, serde_json::Error> {
        let display = serde_json::json!({
            "stream_id": STREAM_ID,
            "x_res": self.width,
            "y_res": self.height,
            "dpi": 160,
            "is_touch": true,
        });
        serde_json::value::to_raw_value(&serde_json::json!({
            "displays": [display],
            "touchpads": [],
            "audio_streams": [],
            "hardware": {
                "Device": "Cuttlebone demo device",
                "Video": format!("VP8, {} x {}, {} fps", self.width, self.height, self.fps),
            },
            "custom_control_panel_buttons": [],
            "mouse_enabled": true,
            "gamepad_enabled": false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Media::default().check(), Ok(()));
    }

    #[test]
    fn nonsense_is_refused() {
        let base = Media::default();
        let any = IpAddr::from([0, 0, 0, 0]);
        let table = [
            (Media { bind: any, ..base.clone() }, InvalidMedia::Bind(any)),
            (Media { width: 15, ..base.clone() }, InvalidMedia::Size(15, 640)),
            (Media { height: 4097, ..base.clone() }, InvalidMedia::Size(360, 4097)),
            (Media { fps: 0, ..base.clone() }, InvalidMedia::Fps(0)),
            (Media { quality: 101, ..base }, InvalidMedia::Quality(101)),
        ];
        for (media, error) in table {
            assert_eq!(media.check(), Err(error));
        }
    }

    #[test]
    fn device_info_has_what_pages_read() {
        let info: Value = serde_json::from_str(Media::default().device_info().unwrap().get()).unwrap();
        let display = serde_json::json!({"stream_id":"display_0","x_res":360,"y_res":640,"dpi":160,"is_touch":true});
        assert_eq!(info["displays"], serde_json::json!([display]));
        assert!(info["hardware"].is_object());
        for list in ["touchpads", "audio_streams", "custom_control_panel_buttons"] {
            assert_eq!(info[list], serde_json::json!([]), "{list}");
        }
        assert_eq!((&info["mouse_enabled"], &info["gamepad_enabled"]), (&Value::Bool(true), &Value::Bool(false)));
    }
}
