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

/** What may stand in a template: text is escaped, markup is not, a list is all of its items, nothing is nothing. */
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
 * Markup with values in it, which are escaped for the text of an element and for an attribute in quotes, the only places that
 * they may stand in. Characters that turn the direction of text, or are shown as nothing, become `�`: names and
 * labels are a stranger's.
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
