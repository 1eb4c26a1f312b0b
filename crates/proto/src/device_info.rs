//! The one thing that the server reads in a `device_info`, for its listing.

use crate::json::Scanner;

/// The `adb_port` of a Cuttlefish `device_info`; 0 where there is none. `info` is valid JSON.
#[must_use]
pub fn adb_port(info: &str) -> u16 {
    let mut port = 0;
    let mut scanner = Scanner::new(info);
    if scanner.peek() == Some(b'{') {
        let _ = scanner.object(usize::MAX, |scanner, key, depth| {
            let value = scanner.value(depth)?;
            if key == "adb_port" {
                port = value.parse().unwrap_or(0);
            }
            Ok(())
        });
    }
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_an_integer_at_the_top_or_nothing() {
        assert_eq!(adb_port(r#"{"hardware":{"adb_port":1},"adb_port": 6520 }"#), 6520);
        for none in ["7", "null", "[]", "{}", r#"{"adb_port":"6520"}"#, r#"{"adb_port":70000}"#, r#"{"adb_port":-1}"#] {
            assert_eq!(adb_port(none), 0, "{none}");
        }
    }
}
