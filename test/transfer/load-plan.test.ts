import { describe, expect, test } from 'vitest';
import type { NamedEntry } from '../../src/content/index.js';
import { digestOf, formatReference, parseReference } from '../../src/spec/index.js';
import { planLoad } from '../../src/transfer/copy/load-archive.js';

const NAME = 'org.opencontainers.image.ref.name';

/** `name`: as it stands in the index; a reference where it is one. */
function entry(content: string, name?: string): NamedEntry {
  const target = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(Buffer.from(content)),
    size: content.length,
    ...(name === undefined ? {} : { annotations: { [NAME]: name } }),
  };
  const isReference = name !== undefined && /[:/@]/.test(name);
  return { target, reference: isReference ? parseReference(name, { defaultTag: true }) : undefined };
}

describe('images of an archive are called', () => {
  test.each<[string, NamedEntry[], string | undefined, string[]]>([
    [
      'as they are there',
      [entry('a', 'quay.io/a:1'), entry('b', 'b:2')],
      undefined,
      ['quay.io/a:1', 'docker.io/library/b:2'],
    ],
    [
      'by their digest where that is their name',
      [entry('a', `quay.io/a@sha256:${'0'.repeat(64)}`)],
      undefined,
      [`quay.io/a@sha256:${'0'.repeat(64)}`],
    ],
    [
      'once, where two have one name',
      [entry('a', 'a:1'), entry('b', 'docker.io/library/a:1')],
      undefined,
      ['docker.io/library/a:1'],
    ],
    ['nothing, where they have no name', [entry('a'), entry('b', 'v1')], undefined, []],
    [
      'as is said, where one has none',
      [entry('a'), entry('b', 'b:1')],
      'c:3',
      ['docker.io/library/c:3', 'docker.io/library/b:1'],
    ],
    ['latest, where nothing else is said', [entry('a')], 'c', ['docker.io/library/c:latest']],
    [
      'by their word in the repository that is said',
      [entry('a', 'v1'), entry('b', 'v2')],
      'quay.io/c',
      ['quay.io/c:v1', 'quay.io/c:v2'],
    ],
    ['as is said, whatever the word of the only one', [entry('a', 'v1')], 'c:3', ['docker.io/library/c:3']],
  ])('%s', (_how, entries, name, expected) => {
    const { images } = planLoad(entries, name);
    expect(images.map(({ reference }) => formatReference(reference))).toEqual(expected);
  });

  test('nothing that is left out of what was said', () => {
    expect(planLoad([entry('a'), entry('b', 'b:1')], undefined).nameless).toHaveLength(1);
    expect(() => planLoad([entry('a'), entry('b')], 'c')).toThrow(/2 images/);
    expect(() => planLoad([entry('a', 'v1'), entry('b', 'v2')], 'c:1')).toThrow(/2 images/);
    expect(() => planLoad([entry('a')], `c@${digestOf(Buffer.from('a'))}`)).toThrow(/digest/);
  });
});
