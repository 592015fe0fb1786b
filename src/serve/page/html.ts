/** Text that is markup, since {@link html} made it. */
export class Html {
  readonly #markup: string;

  /** @param markup trusted: nothing of a stranger's is in it that was not escaped */
  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/**
 * What may stand in a template: text is escaped, markup is not, a list is all of its items, nothing is
 * nothing.
 */
export type HtmlValue = string | number | Html | undefined | readonly HtmlValue[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/**
 * Markup with values in it, which are escaped for the text of an element and for an attribute in quotes, the
 * only places that they may stand in. Characters that turn the direction of text, or are shown as nothing,
 * become `�`: names and labels are a stranger's.
 */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return new Html(parts.map((part, at) => part + (at < values.length ? markupOf(values[at]) : '')).join(''));
}

function markupOf(value: HtmlValue): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(markupOf).join('');
  return String(value)
    .replace(UNSEEN, '\u{FFFD}')
    .replace(/[&<>"'`]/g, (character) => ESCAPES[character] ?? '');
}

/** Controls but for tab and newline, and formats: what changes the direction or is of no width. */
const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}]/gu;

/** A part of a page, with its heading. */
export function section(id: string, title: HtmlValue, body: Html): Html {
  return html`<section aria-labelledby="${id}">
    <h2 id="${id}">${title}</h2>
    ${body}
  </section>`;
}

/** Names and what they stand for. A value that is undefined is left out; `digest` may break anywhere. */
export function pairs(rows: readonly (readonly [HtmlValue, HtmlValue, kind?: 'digest'])[]): Html {
  return html`<div class="card">
    <dl class="pairs">
      ${rows
        .filter(([, value]) => value !== undefined)
        .map(
          ([name, value, kind]) =>
            html`<dt>${name}</dt>
              ${kind === undefined ? html`<dd>${value}</dd>` : html`<dd class="digest">${value}</dd>`}`,
        )}
    </dl>
  </div>`;
}

/** @param heads cells; {@link head} makes one @param below what stands below the rows */
export function table(caption: string, heads: readonly Html[], rows: readonly Html[], below?: Html): Html {
  return html`<div class="card">
    <table class="wide">
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${heads}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
    ${below}
  </div>`;
}

/** The head of a column. */
export function head(label: string, kind?: 'number'): Html {
  return kind === undefined
    ? html`<th scope="col">${label}</th>`
    : html`<th scope="col" class="number">${label}</th>`;
}

export function code(text: string): Html {
  return html`<code>${text}</code>`;
}

const SPANS: readonly (readonly [seconds: number, name: string])[] = [
  [365 * 24 * 3600, 'year'],
  [30 * 24 * 3600, 'month'],
  [24 * 3600, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
];

/** How long ago something was: `3 days ago`. */
export function formatAge(then: Date, now: Date): string {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  for (const [length, name] of SPANS) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${countOf(count, name)} ago`;
  }
  return 'just now';
}

/** `1 tag`, `2 tags` */
export function countOf(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** Where the page of an image lies. @param name canonical */
export function imagePath(name: string): string {
  return `/images/${encodePath(name)}`;
}

/** Where the list of a repository lies. @param repository `docker.io/library/alpine` */
export function repositoryPath(repository: string): string {
  return `/repositories/${encodePath(repository)}`;
}

function encodePath(text: string): string {
  return text
    .split('/')
    .map((segment) => encodeURIComponent(segment).replaceAll('%3A', ':').replaceAll('%40', '@'))
    .join('/');
}

/** The name in a path below a prefix; undefined for a path elsewhere, or one that is not encoded rightly. */
export function nameInPath(path: string, prefix: string): string | undefined {
  if (!path.startsWith(prefix)) return undefined;
  try {
    return decodeURIComponent(path.slice(prefix.length));
  } catch {
    return undefined;
  }
}
