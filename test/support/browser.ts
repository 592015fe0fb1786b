import { type Browser, launch, type Page } from 'puppeteer-core';

import { peer } from './peers.js';

export interface VisitOptions {
  /** Default true. */
  readonly script?: boolean;
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
}

/** A page in a browser, and what went wrong on it. */
export interface Visit extends AsyncDisposable {
  readonly page: Page;
  /** What the console was told, errors of scripts, and each resource that was refused or could not be had. */
  readonly faults: readonly string[];
}

/** Debian's Chromium without a window. */
export class HeadlessBrowser implements AsyncDisposable {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<HeadlessBrowser> {
    const executablePath = peer('chromium');
    if (executablePath === undefined) throw new Error('there is no chromium');
    // Its own sandbox is not for root, and /dev/shm may be small.
    const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
    return new HeadlessBrowser(await launch({ executablePath, args }));
  }

  async visit(url: string, options: VisitOptions = {}): Promise<Visit> {
    const { script = true, width = 1280, height = 900, scheme = 'light' } = options;
    const page = await this.#browser.newPage();
    const faults: string[] = [];
    page.on('console', (message) => faults.push(message.text()));
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('requestfailed', (request) => faults.push(`could not load ${request.url()}`));
    await page.setJavaScriptEnabled(script);
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.goto(url, { waitUntil: 'load' });
    return { page, faults, [Symbol.asyncDispose]: () => page.close() };
  }

  /** Lets pages of an origin write to the clipboard. */
  async allowClipboard(origin: string): Promise<void> {
    const context = this.#browser.defaultBrowserContext();
    for (const name of ['clipboard-read', 'clipboard-write']) {
      await context.setPermission(origin, { permission: { name }, state: 'granted' });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}
