import { describe, expect, it } from 'vitest';

import { html } from '../../../src/serve/page/html.js';

const print = (value: string): string => html`<p title="${value}">${value}</p>`.toString();

describe('markup from a template', () => {
  it('escapes what text and attributes could be ended with', () => {
    const escaped = '&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;amp;&#96;';
    expect(print(`<img src=x onerror="a('b')">&amp;\``)).toBe(`<p title="${escaped}">${escaped}</p>`);
  });

  it('keeps markup that a template made, also in lists', () => {
    const items = ['a<', 'b'].map((item) => html`<b>${item}</b>`);
    expect(html`<i>${items}</i>`.toString()).toBe('<i><b>a&lt;</b><b>b</b></i>');
  });

  it('shows nothing for nothing, and numbers as they are', () => {
    expect(html`${undefined}${[]}${0}${''}`.toString()).toBe('0');
  });

  it.each([
    ['an override of the direction', '\u202e'],
    ['an isolate', '\u2066'],
    ['a space of no width', '\u200b'],
    ['a byte order mark', '\ufeff'],
    ['NUL', '\0'],
    ['an escape', '\u001b'],
    ['a control of C1', '\u009b'],
  ])('shows that there is %s', (_what, character) => {
    expect(html`${`a${character}b`}`.toString()).toBe('a\ufffdb');
  });

  it('keeps lines, tabs and all letters', () => {
    expect(html`${'a\n\tä漢🚢'}`.toString()).toBe('a\n\tä漢🚢');
  });
});
