import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderTimeline } from '../../src/cli/timeline/render-timeline.js';
import { largePull, timelineOf, type ReportedPull } from '../cli/timeline/told-pull.js';
import { HeadlessBrowser } from '../support/browser.js';
import { needsPeer } from '../support/peers.js';

const DEBIAN = 'docker.io/library/debian:trixie';

const PICTURES: readonly (readonly [string, readonly ReportedPull[]])[] = [
  ['3 layers', [largePull(DEBIAN, 3)]],
  ['60 layers', [largePull(DEBIAN, 60)]],
  ['200 layers', [largePull(DEBIAN, 200)]],
  ['a millisecond', [largePull(DEBIAN, 3, { scale: 0.0005 })]],
  ['a day', [largePull(DEBIAN, 5, { scale: 50_000 })]],
  [
    'many images with long names',
    Array.from({ length: 15 }, (_, n) =>
      largePull(`registry.example:5000/team-${n}/${'WwM@'.repeat(3 * n)}app:${n}`, 1 + (n % 4), {
        begun: 130 * n,
      }),
    ),
  ],
  [
    'failures with long reasons',
    [
      {
        reference: `x.io/${'<&">'.repeat(20)}:1`,
        failed: [30, 'failed', `It did not work: ${'MW<&">'.repeat(60)}`],
      },
      {
        reference: DEBIAN,
        resolved: 30,
        manifests: 50,
        layers: [
          {
            size: 1e6,
            waiting: 50,
            downloading: 60,
            retries: [
              [100, 200],
              [300, 900],
            ],
            unpacking: 70,
          },
          { size: 1e9, waiting: 50, elsewhere: 70 },
          { size: 999, waiting: 50 },
        ],
        failed: [1000, 'interrupted', 'stopped'],
      },
    ],
  ],
  [
    'what was here',
    [
      {
        reference: DEBIAN,
        resolved: 30,
        manifests: 31,
        layers: [{ size: 48e6, present: 31, reused: 31 }],
        done: 32,
      },
    ],
  ],
];

interface Box {
  readonly name: string;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Asks a picture where its texts and its bars are, and how large it is. */
const LOOK = `(() => {
  const boxes = (selector) => [...document.querySelectorAll(selector)].map((each) => {
    const { x, y, width, height } = each.getBBox();
    return { name: each.textContent || each.getAttribute('class'), left: x, top: y, right: x + width, bottom: y + height };
  });
  const view = document.documentElement.viewBox.baseVal;
  const fillOf = (selector) => getComputedStyle(document.querySelector(selector)).fill;
  return {
    texts: boxes('text').filter(({ name }) => name !== ''),
    bars: boxes('rect, path, line'),
    inside: [...document.querySelectorAll('g > rect + text.inside')].map((each) => {
      const bar = each.previousElementSibling.getBBox();
      const own = each.getBBox();
      return own.x >= bar.x && own.x + own.width <= bar.x + bar.width;
    }),
    view: { left: 0, top: 0, right: view.width, bottom: view.height },
    colours: { card: fillOf('.card'), text: fillOf('.headline') },
  };
})()`;

interface Look {
  readonly texts: readonly Box[];
  readonly bars: readonly Box[];
  readonly inside: readonly boolean[];
  readonly view: Omit<Box, 'name'>;
  readonly colours: { readonly card: string; readonly text: string };
}

describe.skipIf(needsPeer('chromium') !== undefined)('the picture of a pull in a browser', () => {
  let work: string;
  let browser: HeadlessBrowser;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-timeline-'));
    browser = await HeadlessBrowser.start();
  });
  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const look = async (picture: string, scheme: 'light' | 'dark' = 'light'): Promise<Look> => {
    const file = join(work, 'picture.svg');
    await writeFile(file, picture);
    await using visit = await browser.visit(pathToFileURL(file).href, { scheme });
    expect(visit.faults).toEqual([]);
    return (await visit.page.evaluate(LOOK)) as Look;
  };

  it.each(PICTURES)(
    'of %s: no text is cut off or lies upon another, and every bar is inside',
    async (_, reported) => {
      const { texts, bars, inside, view } = await look(renderTimeline(timelineOf(...reported)));
      expect(texts.length).toBeGreaterThan(5);
      for (const box of [...texts, ...bars]) expect(isWithin(box, view) || box).toBe(true);
      expect(overlapsOf(texts)).toEqual([]);
      expect(inside).not.toContain(false);
    },
  );

  it('is dark on a dark page', async () => {
    const picture = renderTimeline(timelineOf(largePull(DEBIAN, 3)));
    const [light, dark] = [await look(picture), await look(picture, 'dark')];
    expect(light.colours).toEqual({ card: 'rgb(255, 255, 255)', text: 'rgb(31, 35, 40)' });
    expect(dark.colours).toEqual({ card: 'rgb(13, 17, 23)', text: 'rgb(240, 246, 252)' });
  });

  it('of the documentation is such a one', async () => {
    const { texts, bars, view } = await look(await readFile('docs/timeline.svg', 'utf8'));
    for (const box of [...texts, ...bars]) expect(isWithin(box, view) || box).toBe(true);
    expect(overlapsOf(texts)).toEqual([]);
  });
});

function isWithin(box: Box, view: Look['view']): boolean {
  return box.left >= view.left && box.top >= view.top && box.right <= view.right && box.bottom <= view.bottom;
}

/**
 * Pairs of texts that share more than the rounding of a pixel. Letters do not fill the height of their line.
 */
function overlapsOf(texts: readonly Box[]): readonly string[] {
  const ordered = [...texts].sort((a, b) => a.top - b.top);
  return ordered.flatMap((a, at) =>
    ordered
      .slice(at + 1)
      .filter((b) => b.top < a.bottom - 3 && a.left < b.right - 0.5 && b.left < a.right - 0.5)
      .map((b) => `${a.name} | ${b.name}`),
  );
}
