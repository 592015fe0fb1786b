import { createHash } from 'node:crypto';

import { type Answer, etagOf, isNotModified, type RequestHeaders } from '../answer.js';
import { type Html, html, Html as Markup } from './html.js';
import { PAGE_SCRIPT } from './page-script.js';
import { PAGE_STYLE } from './page-style.js';

export interface PageShell {
  /** What stands before the name of the program in the title of the window. */
  readonly title: string;
  /** What the mirror holds, for the head of each page. */
  readonly facts: readonly Html[];
  readonly main: Html;
  /** Default 200. */
  readonly status?: number;
}

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath fill='%230b5cad' d='M12 2l9 5v10l-9 5-9-5V7z'/%3E%3Cpath fill='none' stroke='white' stroke-width='1.8' d='M3.5 7.3L12 12l8.5-4.7M12 12v9.5'/%3E%3C/svg%3E";

const LOGO = html`<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">
  <path
    fill="none"
    stroke="currentColor"
    stroke-width="1.7"
    stroke-linejoin="round"
    d="M12 2.5l8.5 4.75v9.5L12 21.5l-8.5-4.75v-9.5zM3.5 7.25L12 12l8.5-4.75M12 12v9.5"
  />
</svg>`;

/** Not in the document's template, for their digests are of each character between the tags. */
const STYLE = new Markup(`<style>${PAGE_STYLE}</style>`);
const SCRIPT = new Markup(`<script>${PAGE_SCRIPT}</script>`);

/**
 * What a page may load and do: nothing from anywhere, and of script and style what was written here, by its digest. Whatever
 * somebody's label should smuggle into it would be text that does nothing.
 */
const POLICY = [
  "default-src 'none'",
  `style-src '${sourceDigest(PAGE_STYLE)}'`,
  `script-src '${sourceDigest(PAGE_SCRIPT)}'`,
  'img-src data:',
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  // Looked at anew each time, which costs no body where nothing has changed.
  'Cache-Control': 'no-cache',
  Vary: 'Host',
};

/** A whole document, as the answer to a request. */
export function pageAnswer(shell: PageShell, request: RequestHeaders): Answer {
  const body = Buffer.from(documentOf(shell).toString());
  const etag = etagOf(createHash('sha256').update(body).digest('base64url'));
  const { status = 200 } = shell;
  const headers = { ...HEADERS, ETag: etag };
  if (status === 200 && isNotModified(request, etag)) return { status: 304, headers };
  return { status, headers: { ...headers, 'Content-Length': body.length }, body };
}

function documentOf({ title, facts, main }: PageShell): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title === '' ? '' : `${title} · `}Image mirror</title>
        <link rel="icon" href="${new Markup(ICON)}" />
        ${STYLE}
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header class="top">
          <div class="wrap">
            <a class="brand" href="/">${LOGO}Image mirror</a>
            <ul class="facts">
              ${facts.map((fact) => html`<li>${fact}</li>`)}
            </ul>
          </div>
        </header>
        <main id="main" class="wrap" tabindex="-1">${main}</main>
        <footer class="wrap">Served by landfall. Tools find the registry API at <code>/v2/</code>.</footer>
        ${SCRIPT}
      </body>
    </html> `;
}

function sourceDigest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
