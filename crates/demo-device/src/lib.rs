//! A real WebRTC device that shows a moving test picture.
