import { describe, expect, it } from 'vitest';
import { parseFilters } from '../../../src/daemon/snapshots/snapshots-service.js';

interface Thing {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

const THING: Thing = {
  name: 'sha256:abc',
  labels: { 'containerd.io/gc.root': 'now', app: 'a,b', 'a.b': 'c', quote: 'say "hi"', line: 'a\nb' },
};

function fieldOf(thing: Thing, [field = '', ...rest]: readonly string[]): string | undefined {
  if (field === 'name') return thing.name;
  return field === 'labels' ? thing.labels[rest.join('.')] : undefined;
}

const fits = (...filters: string[]): boolean => parseFilters(filters, fieldOf)(THING);

describe("containerd's filters", () => {
  it.each([
    ['', true],
    ['name', true],
    ['nothing', false],
    ['name==sha256:abc', true],
    ['name == sha256:abc', true],
    ['name==sha256:abd', false],
    ['name!=sha256:abd', true],
    ['name!=sha256:abc', false],
    ['nothing==x', false],
    ['nothing!=x', true],
    ['name~=^sha256', true],
    ['name~=/c$/', true],
    ['name~=|^a|', false],
    ['labels.app=="a,b"', true],
    ['labels.app==a', false],
    ['labels.a.b==c', true],
    ['labels."a.b"==c', true],
    ['labels."containerd.io/gc.root"==now,name==sha256:abc', true],
    ['labels."containerd.io/gc.root"==now,name==other', false],
    ['labels."containerd.io/gc.root", name', true],
    [String.raw`labels.quote=="say \"hi\""`, true],
    [String.raw`labels.line=="a\nb"`, true],
    [String.raw`labels.line=="a\x0ab"`, true],
    [String.raw`labels.line=="a\u000ab"`, true],
    [String.raw`labels.line=="a\012b"`, true],
  ])('%s', (filter, expected) => {
    expect(fits(filter)).toBe(expected);
  });

  it('fit where one of them does, and everything where there are none', () => {
    expect(fits()).toBe(true);
    expect(fits('name==other', 'labels.app')).toBe(true);
    expect(fits('name==other', 'name==another')).toBe(false);
  });

  it.each([
    'name=x',
    'name=!x',
    'name==',
    '==x',
    'name,',
    'name==a b',
    'labels.',
    'labels."open',
    String.raw`name=="\q"`,
    String.raw`name=="\U99999999"`,
    'name~="("',
    'name==/x/y z',
  ])('are refused where they are none: %s', (filter) => {
    expect(() => parseFilters([filter], fieldOf)).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }) as Error,
    );
  });
});
