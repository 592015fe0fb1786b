import { beforeAll, describe, expect, it } from 'vitest';

import type { CatalogueImage } from '../../../src/serve/page/catalogue.js';
import { listAddress, PAGE_SIZE, readListQuery, selectImages } from '../../../src/serve/page/list-page.js';
import { CatalogueFixture } from './catalogue-fixture.js';

const query = (text: string): ReturnType<typeof readListQuery> => readListQuery(new URLSearchParams(text));

describe('what a list is asked for', () => {
  it.each([
    ['', { text: '', sort: 'name', descending: false, page: 1 }],
    ['q=+ngi+nx+&sort=size&order=desc&page=3', { text: 'ngi nx', sort: 'size', descending: true, page: 3 }],
    ['sort=evil&order=up&page=0', { text: '', sort: 'name', descending: false, page: 1 }],
    ['page=1e9', { text: '', sort: 'name', descending: false, page: 1 }],
    [`q=${'x'.repeat(1000)}`, { text: 'x'.repeat(300), sort: 'name', descending: false, page: 1 }],
  ])('is read of %j', (text, read) => {
    expect(query(text)).toEqual(read);
  });

  it.each(['', 'q=a%26b+c', 'q=x&sort=size&order=desc&page=7'])('stands in an address again: %j', (text) => {
    const address = listAddress('/', query(text));
    expect(query(address.replace(/^\/\??/, ''))).toEqual(query(text));
  });
});

describe('what a list shows', () => {
  let images: readonly CatalogueImage[];
  beforeAll(async () => {
    const fixture = new CatalogueFixture();
    for (let at = 0; at < 250; at += 1) {
      const repository = at % 2 === 0 ? 'docker.io/library/even' : 'quay.io/team/odd';
      fixture.add(
        `${repository}:${String(at).padStart(3, '0')}`,
        {
          layerSize: 1000 + at,
          layers: 1 + (at % 3),
          platforms: at === 7 ? ['linux/s390x'] : ['linux/amd64'],
        },
        new Date(at * 1000),
      );
    }
    ({ images } = await fixture.catalogue());
  });
  const names = (text: string): string[] =>
    selectImages(images, query(text)).images.map(({ familiar }) => familiar);

  it('is a page of all that there is', () => {
    const { total, page, pages, images: shown } = selectImages(images, query(''));
    expect([total, page, pages, shown.length]).toEqual([250, 1, 3, PAGE_SIZE]);
    expect(selectImages(images, query('page=3')).images).toHaveLength(50);
  });

  it('is the last page where a later one is asked for', () => {
    expect(selectImages(images, query('page=99'))).toMatchObject({ page: 3 });
  });

  it('fits each word that is searched for', () => {
    expect(names('q=QUAY+odd:01')).toEqual(
      ['011', '013', '015', '017', '019'].map((tag) => `quay.io/team/odd:${tag}`),
    );
    expect(names('q=s390x')).toEqual(['quay.io/team/odd:007']);
    expect(names(`q=${images[3]?.target.digest.slice(0, 20) ?? ''}`)).toHaveLength(1);
    expect(names('q=nothing')).toEqual([]);
  });

  it('is in the order that is asked for', () => {
    expect(names('q=24&sort=size&order=desc')[0]).toMatch(/:(?:242|245|248)$/);
    expect(names('sort=since')[0]).toBe('even:000');
    expect(names('sort=since&order=desc')[0]).toBe('quay.io/team/odd:249');
    expect(names('order=desc')[0]).toBe('quay.io/team/odd:249');
  });
});
