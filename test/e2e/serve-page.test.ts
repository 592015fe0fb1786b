import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ElementHandle, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openStore } from '../../src/engine/store.js';
import { recordManifests } from '../../src/engine/images/image.js';
import type { Descriptor } from '../../src/spec/index.js';
import { HeadlessBrowser } from '../support/browser.js';
import { needsPeer } from '../support/peers.js';
import { ServeProcess } from '../support/serve-process.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=document.title="owned">';

/** A store of some images, one of which says hostile things. */
async function fillStore(root: string, work: string): Promise<void> {
  await using store = await openStore({ root, workers: 1, snapshotter: 'native' });
  const put = async (bytes: Buffer, descriptor: Descriptor): Promise<void> => {
    const writer = await store.content.ingest(descriptor);
    if (writer === undefined) return;
    await writer.write(0, bytes);
    await writer.commit();
  };
  for (const [at, name] of [
    'docker.io/library/nginx:1.29',
    'docker.io/library/nginx:1.28',
    'quay.io/prometheus/node-exporter:v1.9.1',
    'ghcr.io/an-organisation-with-a-name/and-a-very-long-repository/with-components:2026-01-01-abcdef',
  ].entries()) {
    const layout = await makeTinyLayout(join(work, `layout-${at}`), {
      platforms: at === 0 ? ['linux/amd64', 'linux/arm64'] : ['linux/amd64'],
      layers: [[{ path: `file-${at}`, content: name }]],
      config: {
        Cmd: ['/bin/hail', String(at)],
        Labels: { [HOSTILE]: HOSTILE, ['x'.repeat(200)]: 'y'.repeat(300) },
      },
    });
    for (const [digest, bytes] of layout.blobs) {
      await put(bytes, { mediaType: 'application/octet-stream', digest, size: bytes.length });
    }
    await recordManifests(store, layout.target);
    await store.images.put({ name, target: layout.target });
  }
}

describe.skipIf(needsPeer('chromium') !== undefined)('the page of a mirror in a browser', () => {
  let work: string;
  let served: ServeProcess;
  let browser: HeadlessBrowser;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-serve-page-'));
    await fillStore(join(work, 'store'), work);
    served = await ServeProcess.start(['--root', join(work, 'store'), 'serve']);
    browser = await HeadlessBrowser.start();
    await browser.allowClipboard(served.url);
  });
  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await served[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const textOf = async (page: Page, selector: string): Promise<string> =>
    String(await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`));
  /** Also of what is folded away. */
  const isVisible = async (page: Page, selector: string): Promise<unknown> =>
    page.evaluate(`document.querySelector(${JSON.stringify(selector)}).checkVisibility()`);
  /** The tags of the rows that can be seen. */
  const shown = async (page: Page): Promise<string[]> =>
    (await page.evaluate(`[...document.querySelectorAll('tbody tr')].filter((row) => row.checkVisibility())
      .map((row) => row.querySelector('th > a').textContent.trim())`)) as string[];
  const clickable = async (page: Page, selector: string): Promise<ElementHandle> => {
    const found = await page.$(selector);
    if (found === null) throw new Error(`there is no ${selector}`);
    return found;
  };
  const follow = async (page: Page, selector: string): Promise<void> => {
    const element = await clickable(page, selector);
    await Promise.all([page.waitForNavigation(), element.click()]);
  };

  describe.each([
    ['with script', true],
    ['without script', false],
  ])('%s', (_what, script) => {
    it('is searched, sorted, and followed to an image and back', async () => {
      await using visit = await browser.visit(served.url, { script });
      const { page, faults } = visit;
      expect((await shown(page)).sort()).toEqual(['1.28', '1.29', '2026-01-01-abcdef', 'v1.9.1']);
      await page.type('input[type=search]', 'nginx');
      await follow(page, 'form.search button');
      expect(new URL(page.url()).search).toBe('?q=nginx');
      expect(await shown(page)).toEqual(['1.28', '1.29']);
      await follow(page, 'thead th:first-child a');
      expect(await shown(page)).toEqual(['1.29', '1.28']);
      await follow(page, 'tbody tr:first-child th > a');
      expect(await textOf(page, 'h1')).toBe('nginx:1.29');
      expect(await textOf(page, '#layers')).toBe('1 layer for linux/amd64');
      await follow(page, 'a.badge:not([aria-current])');
      expect(await textOf(page, '#layers')).toBe('1 layer for linux/arm64');
      await follow(page, 'nav.crumbs li:nth-child(2) a');
      expect(await textOf(page, 'h1')).toBe('docker.io/library/nginx');
      await follow(page, 'nav.crumbs a');
      expect(await shown(page)).toHaveLength(4);
      expect(faults).toEqual([]);
    });

    it('shows the commands of an image when they are asked for', async () => {
      await using visit = await browser.visit(`${served.url}/?q=node-exporter`, { script });
      const { page, faults } = visit;
      expect(await isVisible(page, 'td.get code')).toBe(false);
      await (await clickable(page, 'td.get summary')).click();
      expect(await isVisible(page, 'td.get code')).toBe(true);
      expect(await textOf(page, 'td.get li:nth-child(2) code')).toBe(
        `docker pull 127.0.0.1:${served.port}/quay.io/prometheus/node-exporter:v1.9.1`,
      );
      expect(await isVisible(page, 'td.get button')).toBe(script);
      expect(faults).toEqual([]);
    });

    it('does nothing that a label says', async () => {
      await using visit = await browser.visit(`${served.url}/images/docker.io/library/nginx:1.29`, {
        script,
      });
      expect(await visit.page.title()).toBe('nginx:1.29 · Image mirror');
      expect(await textOf(visit.page, '#main')).toContain(HOSTILE);
      expect(visit.faults).toEqual([]);
    });

    it.each([
      ['/', 320],
      ['/', 390],
      ['/', 800],
      ['/', 1024],
      ['/images/docker.io/library/nginx:1.29', 320],
      ['/images/docker.io/library/nginx:1.29', 390],
      ['/images/docker.io/library/nginx:1.29', 1024],
      ['/repositories/docker.io/library/nginx', 320],
      ['/images/none:1', 320],
    ])('fits at %s a window of %d pixels', async (path, width) => {
      await using visit = await browser.visit(`${served.url}${path}`, { script, width });
      const { page } = visit;
      for (const summary of await page.$$('td.get summary')) await summary.click();
      const wide = await page.evaluate('document.documentElement.scrollWidth');
      expect(wide).toBeLessThanOrEqual(width);
    });
  });

  it('is short on a phone: an image takes a few lines', async () => {
    await using visit = await browser.visit(served.url, { width: 390 });
    const heights = (await visit.page.evaluate(
      `[...document.querySelectorAll('tr[data-search]')].map((row) => row.getBoundingClientRect().height)`,
    )) as number[];
    expect(heights.length).toBeGreaterThan(1);
    // Of seven lines with a label each it has 260.
    expect(Math.max(...heights)).toBeLessThan(150);
  });

  it('filters while somebody types', async () => {
    await using visit = await browser.visit(served.url);
    const { page, faults } = visit;
    await page.keyboard.press('/');
    await page.keyboard.type('nginx arm');
    expect(await shown(page)).toEqual(['1.29']);
    expect(await textOf(page, '[role=status]')).toBe('1 of 4 shown');
    await page.keyboard.type('x');
    expect(await shown(page)).toEqual([]);
    expect(await textOf(page, '[data-nothing]')).toBe('Nothing on this page fits that.');
    for (let at = 0; at < 12; at += 1) await page.keyboard.press('Backspace');
    expect(await shown(page)).toHaveLength(4);
    expect(await textOf(page, '[role=status]')).toBe('4 images');
    expect(faults).toEqual([]);
  });

  it('copies a command', async () => {
    await using visit = await browser.visit(`${served.url}/images/docker.io/library/nginx:1.28`);
    const { page, faults } = visit;
    await page.bringToFront();
    await (await clickable(page, '.commands li:first-child button')).click();
    await page.waitForFunction("document.querySelector('button.copy').textContent === 'Copied'");
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(
      `landfall pull 127.0.0.1:${served.port}/nginx:1.28`,
    );
    expect(faults).toEqual([]);
  });

  it('can be used by keyboard alone', async () => {
    await using visit = await browser.visit(`${served.url}/?q=node-exporter`);
    const { page } = visit;
    const focused = (): Promise<unknown> =>
      page.evaluate(
        "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle].join(' ')",
      );
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to content');
    const seen: unknown[] = [];
    for (let at = 0; at < 12; at += 1) {
      await page.keyboard.press('Tab');
      seen.push(await focused());
      if (String(seen.at(-1)).startsWith('SUMMARY')) break;
    }
    expect(seen.at(-1)).toBe('SUMMARY solid');
    expect(seen.every((one) => String(one).endsWith(' solid'))).toBe(true);
    await page.keyboard.press('Enter');
    expect(await isVisible(page, 'td.get code')).toBe(true);
  });

  it.each(['light', 'dark'] as const)(
    'has letters that can be read on what is behind them, %s',
    async (scheme) => {
      for (const path of ['/', '/images/docker.io/library/nginx:1.29']) {
        await using visit = await browser.visit(`${served.url}${path}`, { scheme });
        expect(await visit.page.evaluate(LOWEST_CONTRAST)).toBeGreaterThanOrEqual(4.5);
      }
    },
  );
});

/** The lowest contrast of a text that is shown with what lies behind it (WCAG 2.2, 1.4.3). */
const LOWEST_CONTRAST = `(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let lowest = 21;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.textContent.trim() === '' || !element.checkVisibility() || element.closest('script,style,.skip')) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    lowest = Math.min(lowest, (a + 0.05) / (b + 0.05));
  }
  return lowest;
})()`;
