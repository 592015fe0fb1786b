import { createHash } from 'node:crypto';
import { type Answer, etagOf, isNotModified, type RequestHeaders } from '../http/answer.js';
import { Html, html } from './html.js';

/**
 * The little that a page does beyond links and a form: filters what it shows while a user types, copies
 * commands, and takes `/` to the search. All works without it; what only works with it is hidden until it
 * runs.
 */
const PAGE_SCRIPT: string = `
'use strict';
(() => {
  const field = document.querySelector('input[type=search]');
  const status = document.querySelector('[data-status]');
  const rows = [...document.querySelectorAll('tr[data-search]')];
  const nothing = document.querySelector('[data-nothing]');
  if (field && status && rows.length > 0) {
    const said = status.textContent;
    const begun = field.value;
    const filter = () => {
      const words = field.value.toLowerCase().split(/\\s+/).filter((word) => word !== '');
      let shown = 0;
      for (const row of rows) {
        const fits = words.every((word) => row.dataset.search.includes(word));
        row.hidden = !fits;
        if (fits) shown += 1;
      }
      if (nothing) nothing.hidden = shown > 0;
      const whole = status.dataset.status === 'whole';
      status.textContent = field.value === begun ? said
        : shown + ' of ' + rows.length + ' shown' + (whole ? '' : '; Enter searches all of the mirror');
    };
    field.addEventListener('input', filter);
  }
  document.addEventListener('keydown', (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? '');
    if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey || !field) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
  const copied = async (text, code) => {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {}
    }
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand('copy');
  };
  for (const button of document.querySelectorAll('button.copy')) {
    const code = button.parentElement.querySelector('code');
    const name = button.textContent;
    button.hidden = false;
    button.addEventListener('click', async () => {
      button.textContent = (await copied(code.textContent, code)) ? 'Copied' : 'Press Ctrl+C';
      setTimeout(() => { button.textContent = name; }, 2000);
    });
  }
})();
`.trim();

/**
 * The one style sheet, in the page itself, so that a page is one request. Colours reach a contrast of 4.5 : 1
 * or more.
 */
const PAGE_STYLE: string = `
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#52606f;--line:#dde2e8;--head:#eef1f5;--accent:#0b5cad;--accent-ink:#fff;--badge:#e6eef8;--badge-ink:#174a80;--good:#dff3e4;--good-ink:#14532d;--code:#f0f3f6;--hover:#f4f8fc;--focus:#b45309;--shadow:0 1px 2px rgba(16,32,48,.06),0 4px 16px rgba(16,32,48,.05)}
@media (prefers-color-scheme:dark){:root{--ground:#0f151c;--card:#17202a;--ink:#e6edf5;--soft:#a3b1c0;--line:#2b3744;--head:#1d2833;--accent:#6fb1ff;--accent-ink:#08203d;--badge:#1f3550;--badge-ink:#b7d6fb;--good:#173826;--good-ink:#a6e5bd;--code:#1f2a36;--hover:#1b2632;--focus:#fbbf24;--shadow:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
a{color:var(--accent);text-underline-offset:.15em}
a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--focus);outline-offset:2px;border-radius:4px}
code,kbd,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.875em}
.skip{position:absolute;left:-999em}
.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.5rem 1rem;z-index:2}
.wrap{max-width:76rem;margin:0 auto;padding-left:1.25rem;padding-right:1.25rem}
header.top{background:var(--card);border-bottom:1px solid var(--line)}
header.top .wrap{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;align-items:center;justify-content:space-between;padding-top:.9rem;padding-bottom:.9rem}
.brand{display:inline-flex;align-items:center;gap:.6rem;font-weight:650;font-size:1.1rem;color:var(--ink);text-decoration:none}
.brand svg{width:1.75rem;height:1.75rem;color:var(--accent);flex:none}
.facts{display:flex;flex-wrap:wrap;gap:.1rem 1.25rem;margin:0;padding:0;list-style:none;color:var(--soft);font-size:.9rem}
.facts b{color:var(--ink);font-weight:600}
main{padding-top:1.5rem;padding-bottom:3rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .35rem;overflow-wrap:anywhere;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:2rem 0 .6rem;font-weight:600}
.lead{color:var(--soft);margin:0 0 1.25rem;overflow-wrap:anywhere}
nav.crumbs{font-size:.9rem;margin-bottom:.75rem;overflow-wrap:anywhere}
nav.crumbs ol{display:flex;flex-wrap:wrap;list-style:none;margin:0;padding:0}
nav.crumbs li+li::before{content:"/";color:var(--soft);padding:0 .5rem}
form.search{display:flex;flex-wrap:wrap;gap:.6rem;margin:0 0 1rem;align-items:end}
form.search .field{flex:1 1 18rem;min-width:0}
label{display:block;font-size:.85rem;color:var(--soft);margin-bottom:.2rem}
input[type=search]{width:100%;font:inherit;padding:.55rem .8rem;border:1px solid var(--soft);border-radius:8px;background:var(--card);color:var(--ink)}
button{font:inherit;cursor:pointer;border-radius:8px;border:1px solid var(--accent);background:var(--accent);color:var(--accent-ink);padding:.55rem 1.1rem;font-weight:550}
button.copy{padding:.2rem .6rem;font-size:.8rem;background:var(--card);color:var(--accent);border-color:var(--line);flex:none}
button.copy:hover{border-color:var(--accent)}
.status{color:var(--soft);font-size:.9rem;margin:0 0 .6rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow)}
thead tr:first-child>:first-child{border-top-left-radius:11px}
thead tr:first-child>:last-child{border-top-right-radius:11px}
tbody tr:last-child>:first-child{border-bottom-left-radius:11px}
tbody tr:last-child>:last-child{border-bottom-right-radius:11px}
table{border-collapse:collapse;width:100%;font-size:.925rem}
caption{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
th,td{text-align:left;padding:.7rem .9rem;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{background:var(--head);font-size:.8rem;font-weight:600;color:var(--soft);white-space:nowrap}
thead th a{color:inherit;text-decoration:none}
thead th a:hover{text-decoration:underline}
tbody tr:last-child>*{border-bottom:0}
tbody tr:hover>*{background:var(--hover)}
tbody th{font-weight:400}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.quiet{color:var(--soft)}
.name{overflow-wrap:anywhere;min-width:13rem}
.name a{text-decoration:none;font-weight:600}
.name a:hover{text-decoration:underline}
.name .path{color:var(--soft);font-size:.85rem;display:block}
.name .path a{font-weight:400;color:inherit}
.badges{display:flex;flex-wrap:wrap;gap:.3rem;margin:0;padding:0;list-style:none}
.badge{display:inline-block;background:var(--badge);color:var(--badge-ink);border-radius:999px;padding:.05rem .6rem;font-size:.8rem;white-space:nowrap;text-decoration:none;max-width:100%;overflow:hidden;text-overflow:ellipsis}
.badge.good{background:var(--good);color:var(--good-ink)}
.badge[aria-current]{background:var(--accent);color:var(--accent-ink)}
details.pull summary{cursor:pointer;color:var(--accent);font-weight:550;white-space:nowrap}
td.get{position:relative}
@media (min-width:60.01rem){td.get .commands{position:absolute;z-index:1;right:.9rem;width:min(38rem,80vw);padding:.75rem;background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:0 8px 28px rgba(8,16,24,.22)}}
.commands{display:grid;gap:.5rem;margin:.5rem 0 0;padding:0;list-style:none;min-width:0}
.command{display:flex;gap:.5rem;align-items:center;background:var(--code);border:1px solid var(--line);border-radius:8px;padding:.45rem .6rem;min-width:0}
.command code{flex:1;min-width:0;overflow-wrap:anywhere;user-select:all}
.commands .note{color:var(--soft);font-size:.85rem}
dl.pairs{display:grid;grid-template-columns:fit-content(40%) minmax(0,1fr);margin:0;padding:.4rem 0}
dl.pairs dt,dl.pairs dd{margin:0;padding:.4rem 1rem}
dl.pairs dt{color:var(--soft);overflow-wrap:anywhere}
dl.pairs dd{overflow-wrap:anywhere}
.digest{overflow-wrap:anywhere}
ol.history{margin:0;padding:.5rem 1rem .5rem 2.6rem}
ol.history li{padding:.35rem 0;border-bottom:1px solid var(--line)}
ol.history li:last-child{border-bottom:0}
ol.history code{overflow-wrap:anywhere;white-space:pre-wrap}
ol.history small{color:var(--soft)}
.empty{padding:2.5rem 1.25rem;text-align:center;color:var(--soft)}
.empty p{margin:.25rem 0}
nav.pages{display:flex;flex-wrap:wrap;gap:.5rem 1rem;justify-content:space-between;align-items:center;margin-top:1rem;color:var(--soft);font-size:.925rem}
footer{color:var(--soft);font-size:.85rem;padding:0 0 2rem}
[hidden]{display:none!important}
@media (max-width:60rem){
table.wide,table.wide tbody,table.wide tr,table.wide td,table.wide tbody th{display:block;width:100%}
table.wide thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
table.wide tbody tr{padding:.6rem 0;border-bottom:1px solid var(--line)}
table.wide tbody tr:last-child{border-bottom:0}
table.wide td,table.wide tbody th{border:0;padding:.2rem .9rem}
table.wide td[data-label]{display:grid;grid-template-columns:6.5rem minmax(0,1fr);gap:.5rem;text-align:left}
table.wide td[data-label]::before{content:attr(data-label);color:var(--soft);font-size:.85rem}
table.wide td,table.wide th{overflow-wrap:anywhere;min-width:0}
table.wide td.number{white-space:normal}
}
@media (max-width:34rem){
h1{font-size:1.3rem}
.wrap{padding-left:.9rem;padding-right:.9rem}
dl.pairs{grid-template-columns:minmax(0,1fr)}
dl.pairs dd{padding-top:0}
table.wide tr[data-search]{display:flex;flex-wrap:wrap;align-items:center;gap:.15rem .6rem;padding:.5rem .9rem}
table.wide tr[data-search]>*{display:block;width:auto;padding:0}
table.wide tr[data-search]>.name{flex:1 0 100%}
table.wide tr[data-search]>td[data-label]::before{content:none}
table.wide tr[data-search]>td:is([data-label=Layers],[data-label="In the mirror"],:has(>span.quiet)){display:none}
table.wide tr[data-search]>td.get{margin-left:auto}
table.wide tr[data-search]>td.get:has([open]){flex:1 0 100%}
}
@media (prefers-reduced-motion:no-preference){button,.badge{transition:background .12s,border-color .12s}}
@media print{form.search,button,nav.pages{display:none}}
`.trim();

export interface PageShell {
  /** What stands before the name of the program in the title of the window. */
  readonly title: string;
  /** What the mirror holds, for the head of each page. */
  readonly info: readonly Html[];
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

/** Not in the template of the page, since their digests are of each character between the tags. */
const STYLE = new Html(`<style>${PAGE_STYLE}</style>`);
const SCRIPT = new Html(`<script>${PAGE_SCRIPT}</script>`);

/**
 * What a page may load and do: nothing from anywhere, and of script and style what was written here, by its
 * digest. Markup that a label smuggles into it would do nothing.
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

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  // Looked at anew each time, which costs no body where nothing has changed.
  'Cache-Control': 'no-cache',
  Vary: 'Host, Accept',
};

/** A whole page, as the answer to a request. */
export function pageAnswer(shell: PageShell, request: RequestHeaders): Answer {
  const body = Buffer.from(documentOf(shell).toString());
  const etag = etagOf(createHash('sha256').update(body).digest('base64url'));
  const { status = 200 } = shell;
  const headers = { ...HEADERS, ETag: etag };
  if (status === 200 && isNotModified(request, etag)) return { status: 304, headers };
  return { status, headers: { ...headers, 'Content-Length': body.length }, body };
}

function documentOf({ title, info, main }: PageShell): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title === '' ? '' : `${title} · `}Image mirror</title>
        <link rel="icon" href="${new Html(ICON)}" />
        ${STYLE}
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header class="top">
          <div class="wrap">
            <a class="brand" href="/">${LOGO}Image mirror</a>
            <ul class="facts">
              ${info.map((fact) => html`<li>${fact}</li>`)}
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
