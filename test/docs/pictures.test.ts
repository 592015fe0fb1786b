import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeadlessBrowser } from '../support/browser.js';
import { PAGES } from '../support/documentation/pages.js';
import { needsPeer } from '../support/peers.js';

/** Paths below docs/. */
const PICTURES = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.svg'),
);
/** What is wrong with a picture, asked of whoever draws it. */
const FAULTS = `(() => {
  const svg = document.documentElement;
  const { width, height } = svg.viewBox.baseVal;
  const frame = svg.getScreenCTM().inverse();
  const boxOf = (element) => {
    const own = element.getBBox();
    const toFrame = frame.multiply(element.getScreenCTM());
    const a = new DOMPoint(own.x, own.y).matrixTransform(toFrame);
    const b = new DOMPoint(own.x + own.width, own.y + own.height).matrixTransform(toFrame);
    return { left: Math.min(a.x, b.x), right: Math.max(a.x, b.x), top: Math.min(a.y, b.y), bottom: Math.max(a.y, b.y) };
  };
  const texts = [...document.querySelectorAll('text')].map((element) => ({ text: element.textContent, box: boxOf(element) }));
  const rects = [...document.querySelectorAll('rect')].map(boxOf);
  const faults = [];
  if (texts.length === 0) faults.push('there is no text');
  for (const { text, box } of texts) {
    if (box.left < 0 || box.top < 0 || box.right > width || box.bottom > height) faults.push(text + ' is outside');
    // Whose middle lies in a rectangle belongs into it.
    const x = (box.left + box.right) / 2;
    const y = (box.top + box.bottom) / 2;
    const around = rects.filter((rect) => rect.left < x && x < rect.right && rect.top < y && y < rect.bottom);
    if (around.some((rect) => box.left < rect.left || box.right > rect.right)) faults.push(text + ' leaves its box');
  }
  for (const [at, one] of texts.entries()) {
    for (const other of texts.slice(at + 1)) {
      const over =
        Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left) > 1 &&
        Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top) > 3;
      if (over) faults.push(one.text + ' lies over ' + other.text);
    }
  }
  return faults;
})()`;

describe('the pictures of the manual', () => {
  it('are shown on a page, with words for who does not see them', () => {
    const shown = PAGES.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/!\[[^\]]{20,}\]\(([^)]+\.svg)\)/g)].map(([, path = '']) =>
        relative('docs', join(dirname(page), path)),
      ),
    );
    for (const picture of PICTURES) expect(shown).toContain(picture);
  });
});

describe.skipIf(needsPeer('chromium') !== undefined)('a picture in a browser', () => {
  let browser: HeadlessBrowser;
  beforeAll(async () => {
    browser = await HeadlessBrowser.start();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  // A timeline writes beside its bars; test/e2e/timeline-picture.test.ts holds it.
  it.each(PICTURES.filter((name) => name !== 'timeline.svg'))('%s holds its text', async (name) => {
    await using visit = await browser.visit(pathToFileURL(resolve('docs', name)).href);
    expect(await visit.page.evaluate(FAULTS)).toEqual([]);
    expect(visit.faults).toEqual([]);
  });

  it.each(['internals/architecture.svg', 'internals/life-of-a-layer.svg'])(
    '%s is dark where the reader wants it so',
    async (name) => {
      const grounds: unknown[] = [];
      for (const scheme of ['light', 'dark'] as const) {
        await using visit = await browser.visit(pathToFileURL(resolve('docs', name)).href, { scheme });
        grounds.push(await visit.page.evaluate("getComputedStyle(document.querySelector('.page')).fill"));
      }
      expect(grounds).toEqual(['rgb(255, 255, 255)', 'rgb(13, 17, 23)']);
    },
  );
});
