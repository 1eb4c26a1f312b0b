//! An RGBA picture and the few shapes the test picture needs. Whatever lies outside is cut off.

use crate::font;

/// Red, green, blue.
pub(crate) type Rgb = [u8; 3];

/// Packed RGBA pixels, row by row, always opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize, background: Rgb) -> Self {
        Self { width, height, rgba: opaque(background).repeat(width * height) }
    }

    /// A filled rectangle.
    pub(crate) fn rect(&mut self, x: i32, y: i32, width: i32, height: i32, colour: Rgb) {
        for row in y.max(0)..y.saturating_add(height).min(self.height as i32) {
            self.span(x, row, width, colour);
        }
    }

    /// A filled disc.
    pub(crate) fn disc(&mut self, x: i32, y: i32, radius: i32, colour: Rgb) {
        for dy in -radius..=radius {
            let half = (radius * radius - dy * dy).isqrt();
            self.span(x.saturating_sub(half), y.saturating_add(dy), 2 * half + 1, colour);
        }
    }

    /// Text with its top left corner at `x`, `y`; every pixel of the font is a square of `scale`.
    pub(crate) fn text(&mut self, x: i32, y: i32, scale: i32, text: &str, colour: Rgb) {
        let advance = scale * font::ADVANCE as i32;
        for (i, c) in (0..).zip(text.chars()) {
            self.glyph(x + i * advance, y, scale, c, colour);
        }
    }

    fn glyph(&mut self, x: i32, y: i32, scale: i32, c: char, colour: Rgb) {
        for (row, bits) in (0..).zip(font::glyph(c)) {
            for column in 0..font::WIDTH as i32 {
                if bits >> (font::WIDTH as i32 - 1 - column) & 1 == 1 {
                    self.rect(x + column * scale, y + row * scale, scale, scale, colour);
                }
            }
        }
    }

    /// One row of a shape.
    fn span(&mut self, x: i32, y: i32, width: i32, colour: Rgb) {
        let Some(row) = usize::try_from(y).ok().filter(|y| *y < self.height) else { return };
        let limit = |x: i32| usize::try_from(x.max(0)).unwrap_or(0).min(self.width);
        let (from, to) = (row * self.width + limit(x), row * self.width + limit(x.saturating_add(width)));
        if from < to {
            for pixel in self.rgba[from * 4..to * 4].chunks_exact_mut(4) {
                pixel.copy_from_slice(&opaque(colour));
            }
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    pub(crate) fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    #[cfg(test)]
    pub(crate) fn pixel(&self, x: usize, y: usize) -> Rgb {
        let at = (y * self.width + x) * 4;
        [self.rgba[at], self.rgba[at + 1], self.rgba[at + 2]]
    }
}

fn opaque([r, g, b]: Rgb) -> [u8; 4] {
    [r, g, b, 255]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Rgb = [255, 0, 0];
    const BLACK: Rgb = [0, 0, 0];

    fn red_pixels(canvas: &Canvas) -> usize {
        canvas.rgba().chunks_exact(4).filter(|pixel| pixel[..3] == RED).count()
    }

    #[test]
    fn shapes_are_cut_at_the_edges() {
        let mut canvas = Canvas::new(8, 6, BLACK);
        canvas.rect(-3, -3, 5, 5, RED);
        assert_eq!(red_pixels(&canvas), 4);
        canvas.rect(7, 5, 100, 100, RED);
        assert_eq!(red_pixels(&canvas), 5);
        canvas.rect(i32::MAX, i32::MAX, i32::MAX, i32::MAX, RED);
        canvas.disc(i32::MIN, i32::MAX, 3, RED);
        assert_eq!(red_pixels(&canvas), 5);
        canvas.text(-3, -3, 4, "cut off", RED);
        assert!(red_pixels(&canvas) <= 8 * 6);
    }

    #[test]
    fn a_disc_is_round() {
        let mut canvas = Canvas::new(21, 21, BLACK);
        canvas.disc(10, 10, 10, RED);
        assert_eq!(canvas.pixel(10, 0), RED);
        assert_eq!(canvas.pixel(0, 10), RED);
        assert_eq!(canvas.pixel(1, 1), BLACK);
    }

    #[test]
    fn text_takes_its_scale() {
        let mut canvas = Canvas::new(40, 40, BLACK);
        canvas.text(0, 0, 1, "I", RED);
        let small = red_pixels(&canvas);
        let mut canvas = Canvas::new(40, 40, BLACK);
        canvas.text(0, 0, 3, "I", RED);
        assert_eq!(red_pixels(&canvas), small * 9);
    }
}
