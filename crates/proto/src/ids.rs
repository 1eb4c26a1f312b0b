//! Ids as newtypes.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::DEVICE_ID_BYTES;

/// The name a device registers under: 1 to 256 bytes, no control characters. Compared byte for byte.
///
/// Cheap to clone. Source: protocol.md 2.2.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

/// A device id that is empty, longer than 256 bytes, or holds a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a device id has 1 to {DEVICE_ID_BYTES} bytes and no control characters")]
pub struct InvalidDeviceId;

impl DeviceId {
    /// Checks and keeps `id`.
    ///
    /// # Errors
    /// [`InvalidDeviceId`] if it is empty, too long, or holds a control character.
    pub fn new(id: &str) -> Result<Self, InvalidDeviceId> {
        if id.is_empty() || id.len() > DEVICE_ID_BYTES || id.chars().any(char::is_control) {
            return Err(InvalidDeviceId);
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number a device knows one of its clients by: 1 to 2^31 - 1.
///
/// Source: protocol.md 2.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u32);

impl ClientId {
    /// The largest id, 2^31 - 1.
    pub const MAX: u32 = i32::MAX as u32;

    /// `None` for 0 and for 2^31 and above.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value == 0 || value > Self::MAX { None } else { Some(Self(value)) }
    }

    /// The id as a number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_id_is_bounded_and_free_of_control_characters() {
        assert!(DeviceId::new("cvd-1").is_ok());
        assert!(DeviceId::new(&"x".repeat(256)).is_ok());
        for bad in ["", "a\0", "a\n", "a\u{7f}", "a\u{9b}", &"x".repeat(257)] {
            assert_eq!(DeviceId::new(bad), Err(InvalidDeviceId), "{bad:?}");
        }
    }

    #[test]
    fn client_id_is_positive_and_below_two_to_the_31st() {
        assert_eq!(ClientId::new(0), None);
        assert_eq!(ClientId::new(1).map(ClientId::value), Some(1));
        assert_eq!(ClientId::new(2_147_483_647).map(ClientId::value), Some(2_147_483_647));
        assert_eq!(ClientId::new(2_147_483_648), None);
    }
}
