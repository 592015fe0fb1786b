import { describe, expect, test } from 'vitest';
import { parseSourceName } from '../../src/cli/images/source-name.js';

describe('names of sources', () => {
  test.each([
    ['alpine', { kind: 'store', name: 'alpine' }],
    ['quay.io/x/y:1', { kind: 'store', name: 'quay.io/x/y:1' }],
    ['docker:5000/app', { kind: 'store', name: 'docker:5000/app' }],
    ['oci:mirror', { kind: 'oci', directory: 'mirror', name: undefined }],
    ['oci:/srv/mirror:app', { kind: 'oci', directory: '/srv/mirror', name: 'app' }],
    [
      'oci:/srv/mirror:127.0.0.1:5000/app:1',
      { kind: 'oci', directory: '/srv/mirror', name: '127.0.0.1:5000/app:1' },
    ],
  ])('%s', (text, expected) => {
    expect(parseSourceName(text)).toEqual(expected);
  });

  test.each([
    ['docker://alpine', 'Pull it first: landfall pull alpine'],
    ['docker-archive:a.tar', 'Name an image of the local store, or oci:DIR[:TAG].'],
    ['oci-archive:a.tar', 'Name an image of the local store, or oci:DIR[:TAG].'],
    ['oci:', 'Write oci:DIR, or oci:DIR:TAG when the layout holds several images.'],
    ['oci::tag', 'Write oci:DIR, or oci:DIR:TAG when the layout holds several images.'],
    ['oci:dir:', 'Write oci:DIR, or oci:DIR:TAG when the layout holds several images.'],
  ])('%s is refused', (text, hint) => {
    expect(() => parseSourceName(text)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', hint }));
  });
});
