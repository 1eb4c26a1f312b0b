/** Looking at the picture that a viewer page shows. */

import { until } from './until.js';

/** @typedef {import('playwright-core').Page} Page */

/** Where the demo device draws, in its own pixels. */
export const BARS = { x: 0, y: 110, width: 360, height: 100 };

/**
 * Waits until the page shows a picture of this session.
 *
 * @param {Page} page
 */
export async function waitForPicture(page) {
  await page.locator('#status', { hasText: /^Connected/ }).waitFor();
  await page.locator('video.showing').waitFor();
}

/** @param {Page} page */
export function pictureSize(page) {
  return page.locator('video.showing').evaluate((/** @type {HTMLVideoElement} */ { videoWidth, videoHeight }) => ({ width: videoWidth, height: videoHeight }));
}

/**
 * Frames shown in each of the next seconds.
 *
 * @param {Page} page
 * @param {number} seconds
 * @returns {Promise<number[]>}
 */
export function framesEachSecond(page, seconds) {
  return page.locator('video.showing').evaluate(
    (/** @type {HTMLVideoElement} */ video, seconds) =>
      new Promise((resolve) => {
        const counts = Array(seconds).fill(0);
        const start = performance.now();
        const count = () => {
          const second = Math.floor((performance.now() - start) / 1000);
          if (second >= seconds) return;
          counts[second] += 1;
          video.requestVideoFrameCallback(count);
        };
        video.requestVideoFrameCallback(count);
        setTimeout(() => resolve(counts), seconds * 1000);
      }),
    seconds,
  );
}

/**
 * Notes the time of each frame that is shown from now on.
 *
 * @param {Page} page
 */
export function watchFrames(page) {
  return page.locator('video.showing').evaluate((/** @type {HTMLVideoElement} */ video) => {
    const frames = [performance.now()];
    Object.assign(globalThis, { frames });
    const note = () => {
      frames.push(performance.now());
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  });
}

/**
 * The frames since `watchFrames`, and the longest time without one, in milliseconds.
 *
 * @param {Page} page
 * @returns {Promise<{ count: number, longestGap: number }>}
 */
export function framesWatched(page) {
  return page.evaluate(() => {
    const frames = /** @type {number[]} */ (/** @type {any} */ (globalThis).frames);
    const gaps = [...frames, performance.now()].map((time, n, all) => time - Number(all[n - 1] ?? time));
    return { count: frames.length - 1, longestGap: Math.round(Math.max(...gaps)) };
  });
}

/** @param {Page} page */
export function decodedFrames(page) {
  return page.locator('video.showing').evaluate((/** @type {HTMLVideoElement} */ video) => video.getVideoPlaybackQuality().totalVideoFrames);
}

/**
 * Waits until the picture on the page has moved on by some frames from now.
 *
 * @param {Page} page
 */
export async function waitForFrames(page) {
  const frames = (/** @type {number} */ more) =>
    page.locator('video.showing').evaluate(
      (/** @type {HTMLVideoElement} */ video, more) =>
        new Promise((resolve) => {
          const next = (/** @type {number} */ left) => (left === 0 ? resolve(true) : video.requestVideoFrameCallback(() => next(left - 1)));
          next(more);
          setTimeout(() => resolve(false), 2000);
        }),
      more,
    );
  await until('the picture moves', () => frames(5).catch(() => false));
}

/**
 * The pixels of a part of the picture, four numbers each.
 *
 * @param {Page} page
 * @param {{ x: number, y: number, width: number, height: number }} part
 * @returns {Promise<number[]>}
 */
export function pixels(page, part) {
  return page.locator('video.showing').evaluate((/** @type {HTMLVideoElement} */ video, { x, y, width, height }) => {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.drawImage(video, 0, 0);
    return [...context.getImageData(x, y, width, height).data];
  }, part);
}

/**
 * The share of numbers by which two parts differ clearly.
 *
 * @param {number[]} a
 * @param {number[]} b
 */
export function difference(a, b) {
  return a.filter((value, index) => Math.abs(value - Number(b[index])) > 40).length / a.length;
}

/** @typedef {[red: boolean, green: boolean, blue: boolean]} Colour which of the three are strong */

/** @type {Colour[]} the colours of the viewers, by their place */
export const COLOURS = [[true, false, true], [true, true, false], [false, true, true]];

/**
 * Waits until the picture has a mark of a colour around a point.
 *
 * @param {Page} page
 * @param {{ x: number, y: number }} at
 * @param {Colour} colour
 */
export function waitForMark(page, { x, y }, colour) {
  return until(`a mark at ${x},${y}`, async () => {
    const values = await pixels(page, { x: x - 2, y: y - 2, width: 5, height: 5 });
    return values.every((value, index) => index % 4 === 3 || (colour[index % 4] ? value > 150 : value < 110));
  });
}

/**
 * Where a point of the picture is on the page.
 *
 * @param {Page} page
 * @param {{ x: number, y: number }} at
 */
export function onPage(page, { x, y }) {
  return page.locator('video.showing').evaluate(
    (/** @type {HTMLVideoElement} */ video, { x, y }) => {
      const box = video.getBoundingClientRect();
      return { x: box.left + ((x + 0.5) * box.width) / video.videoWidth, y: box.top + ((y + 0.5) * box.height) / video.videoHeight };
    },
    { x, y },
  );
}
