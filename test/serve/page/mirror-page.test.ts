import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';

import { mirrorPage } from '../../../src/serve/page/mirror-page.js';
import type { Answer, Page } from '../../../src/serve/http/answer.js';
import { type CatalogueImage } from '../../../src/serve/page/catalogue.js';
import { CatalogueFixture } from './catalogue-fixture.js';

const HOSTILE = `"><script>alert('1')</script><img src=x onerror=alert(2)>\u202e{{7*7}}</style></title>`;

const BROWSER = { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' };

describe('the pages of a mirror', () => {
  let fixture: CatalogueFixture;
  let page: Page;
  beforeEach(() => {
    fixture = new CatalogueFixture();
    page = mirrorPage({
      catalogue: fixture,
      blobs: fixture.blobs,
      secure: false,
      now: () => new Date('2026-01-04T00:00:00Z'),
    });
  });

  const ask = async (target: string, headers: Record<string, string> = {}): Promise<Answer | undefined> => {
    const { pathname, searchParams } = new URL(target, 'http://mirror.lan');
    return page(pathname, {
      method: 'GET',
      query: searchParams,
      headers: { host: 'mirror.lan', ...headers },
    });
  };
  const text = async (target: string): Promise<string> => {
    const body = (await ask(target, BROWSER))?.body;
    return Buffer.isBuffer(body) ? body.toString() : '';
  };

  it('say that nothing is here yet', async () => {
    expect(await text('/')).toContain('This mirror is empty');
  });

  it('list images with what they are, and the commands that pull them', async () => {
    const target = fixture.add('docker.io/library/nginx:1.29', {
      platforms: ['linux/amd64', 'linux/arm64'],
      layers: 7,
    });
    fixture.refer(target, 'application/spdx+json');
    const markup = await text('/');
    for (const shown of [
      'href="/images/docker.io/library/nginx:1.29"',
      'href="/repositories/docker.io/library/nginx"',
      'linux/amd64',
      'linux/arm64',
      '3 days ago',
      '1 SBOM',
      'landfall pull --plain-http mirror.lan/nginx:1.29',
      'docker pull mirror.lan/nginx:1.29',
      'crictl pull mirror.lan/nginx:1.29',
    ]) {
      expect(markup).toContain(shown);
    }
    expect(fixture.opened).toEqual([]);
  });

  it('search by a form that works without script', async () => {
    fixture.add('docker.io/library/nginx:1');
    fixture.add('quay.io/team/app:1');
    const markup = await text('/?q=quay');
    expect(markup).toMatch(/<form[^>]*role="search"[^>]*method="get"[^>]*action="\/"/);
    expect(markup).toContain('1 image for “quay”');
    expect(markup).toContain('/images/quay.io/team/app:1');
    expect(markup).not.toContain('/images/docker.io/library/nginx:1');
    expect(await text('/?q=none')).toContain('Nothing in this mirror fits that.');
  });

  it('turn pages by links', async () => {
    for (let at = 0; at < 150; at += 1) fixture.add(`docker.io/library/many:${at}`, { layers: 1 });
    expect(await text('/')).toMatch(/rel="next"\s+href="\/\?page=2"/);
    const second = await text('/?page=2');
    expect(second).toContain('Images 101 to 150 of 150');
    expect(second).toMatch(/rel="prev"\s+href="\/"/);
  });

  it('have one for each repository', async () => {
    fixture.add('docker.io/library/nginx:1');
    fixture.add('docker.io/library/redis:1');
    const markup = await text('/repositories/docker.io/library/nginx');
    expect(markup).toContain('/images/docker.io/library/nginx:1');
    expect(markup).not.toContain('redis');
    expect((await ask('/repositories/docker.io/library/none', BROWSER))?.status).toBe(404);
  });

  it('show the parts of an image, and read no layer for it', async () => {
    const target = fixture.add('quay.io/team/app:1', {
      created: '2025-12-24T10:00:00.5Z',
      config: {
        Entrypoint: ['/app'],
        Cmd: ['--serve'],
        Labels: { team: 'payments' },
        ExposedPorts: { '80/tcp': {} },
      },
      history: [{ created_by: 'COPY app /app' }, { created_by: 'ENV A=b', empty_layer: true }],
      annotations: { 'org.opencontainers.image.version': '1.2.3' },
    });
    fixture.refer(target, 'application/vnd.dev.cosign.artifact.sig.v1+json');
    const markup = await text('/images/quay.io/team/app:1');
    const [info] = fixture.documents.values();
    for (const shown of [
      target.digest,
      ...(info?.children.map(({ digest }) => digest) ?? []),
      '2025-12-24T10:00:00Z',
      '[&quot;/app&quot;]',
      '[&quot;--serve&quot;]',
      'payments',
      '80/tcp',
      'COPY app /app',
      '1.2.3',
      'application/vnd.dev.cosign.artifact.sig.v1+json',
    ]) {
      expect(markup).toContain(shown);
    }
    expect(fixture.opened).toEqual([target.digest, info?.children[0]?.digest]);
  });

  it('show the platform that is asked for', async () => {
    fixture.add('quay.io/team/app:1', { platforms: ['linux/amd64', 'linux/arm64'], layers: 1 });
    const heading = async (target: string): Promise<string | undefined> =>
      /<h2 id="layers">\s*([^<]*?)\s*<\/h2>/.exec(await text(target))?.[1]?.replace(/\s+/g, ' ');
    expect(await heading('/images/quay.io/team/app:1')).toBe('1 layer for linux/amd64');
    expect(await heading('/images/quay.io/team/app:1?platform=linux%2Farm64')).toBe(
      '1 layer for linux/arm64',
    );
    expect(await heading('/images/quay.io/team/app:1?platform=none')).toBe('1 layer for linux/amd64');
  });

  it('show an image by its digest too', async () => {
    const { digest } = fixture.add('quay.io/team/app:1');
    const image = fixture.images[0];
    if (image !== undefined) fixture.name(`quay.io/team/app@${digest}`, image.target);
    expect((await ask(`/images/quay.io/team/app@${digest}`))?.status).toBe(200);
  });

  it.each(['/images/quay.io/team/none:1', '/repositories/quay.io/none', '/nowhere', '/images/%ff'])(
    'answer 404 to a browser with a page, and leave the answer to programs to the registry: %s',
    async (path) => {
      const answer = await ask(path, BROWSER);
      expect(answer?.status).toBe(404);
      expect(String(answer?.body)).toContain('Show all images');
      expect(await ask(path)).toBeUndefined();
      expect(await ask(path, { accept: 'application/json, */*' })).toBeUndefined();
    },
  );

  it('call a signature verified only where it was', async () => {
    const signed = 'application/vnd.dev.cosign.artifact.sig.v1+json';
    const held = fixture.refer(fixture.add('quay.io/team/held:1'), signed);
    fixture.refer(fixture.add('quay.io/team/other:1'), signed);
    fixture.verified.add(held.digest);
    const markup = await text('/');
    expect(markup).toContain('<li class="badge good">1 verified signature</li>');
    expect(markup).toContain('<li class="badge">1 signature, not verified</li>');
    expect(await text('/images/quay.io/team/held:1')).toContain('verified signature</span>');
    expect(await text('/images/quay.io/team/other:1')).toContain('signature, not verified</span>');
  });

  it('have nothing where no page lies', async () => {
    expect(await ask('/favicon.ico')).toBeUndefined();
    expect(
      await page('/images/%ff', { method: 'GET', query: new URLSearchParams(), headers: {} }),
    ).toBeUndefined();
  });

  it('answer that nothing has changed', async () => {
    fixture.add('quay.io/team/app:1');
    const etag = String((await ask('/'))?.headers['ETag']);
    expect(await ask('/', { 'if-none-match': etag })).toMatchObject({ status: 304 });
    fixture.add('quay.io/team/app:2');
    expect(await ask('/', { 'if-none-match': etag })).toMatchObject({ status: 200 });
  });

  describe('with what a stranger wrote', () => {
    const hostile = (): void => {
      fixture.add('quay.io/team/app:1', {
        created: HOSTILE,
        author: HOSTILE,
        config: {
          Entrypoint: [HOSTILE],
          Cmd: [HOSTILE],
          User: HOSTILE,
          WorkingDir: HOSTILE,
          Env: [HOSTILE],
          Labels: { [HOSTILE]: HOSTILE },
          ExposedPorts: { [HOSTILE]: {} },
          Volumes: { [HOSTILE]: {} },
          StopSignal: HOSTILE,
        },
        history: [{ created_by: HOSTILE }, { comment: HOSTILE }],
        annotations: { [HOSTILE]: HOSTILE },
      });
      const image = fixture.images[0];
      if (image !== undefined) fixture.refer(image.target, HOSTILE);
    };

    it.each([
      '/',
      '/images/quay.io/team/app:1',
      `/?q=${encodeURIComponent(HOSTILE)}`,
      `/?sort=${encodeURIComponent(HOSTILE)}`,
      `/repositories/quay.io/team/app?q=${encodeURIComponent(HOSTILE)}`,
      `/images/quay.io/team/app:1?platform=${encodeURIComponent(HOSTILE)}`,
      `/repositories/${encodeURIComponent(HOSTILE)}`,
    ])('hold no markup of theirs: %s', async (target) => {
      hostile();
      const markup = await text(target);
      expect(markup).not.toContain("alert('1')");
      expect(markup).not.toContain('<img');
      expect(markup).not.toContain('\u202e');
      expect(markup.match(/<script/g)).toHaveLength(1);
      expect(markup.match(/<\/style>/g)).toHaveLength(1);
      expect(markup.match(/<\/title>/g)).toHaveLength(1);
    });

    it('do show it', async () => {
      hostile();
      expect(await text('/images/quay.io/team/app:1')).toContain('&lt;img src=x onerror=alert(2)&gt;');
    });

    it('do not repeat a host that is none', async () => {
      fixture.add('quay.io/team/app:1');
      const answer = await ask('/', { host: '"><script>alert(1)</script>' });
      expect(String(answer?.body)).toContain('docker pull MIRROR/quay.io/team/app:1');
    });
  });

  it('load and run nothing but what is in them', async () => {
    fixture.add('quay.io/team/app:1');
    const answer = await ask('/');
    const policy = String(answer?.headers['Content-Security-Policy']);
    expect(policy.split('; ')).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    const body = String(answer?.body);
    for (const element of ['style', 'script']) {
      const [, content = ''] = new RegExp(`<${element}>([^]*?)</${element}>`).exec(body) ?? [];
      const digest = createHash('sha256').update(content).digest('base64');
      expect(policy).toContain(`${element}-src 'sha256-${digest}'`);
    }
    expect(body).not.toMatch(/ (?:src|srcset|action|href)="(?!\/|#|data:image\/svg)/);
    expect(body).not.toMatch(/ style="| on[a-z]+="/);
    expect(answer?.headers).toMatchObject({
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'X-Frame-Options': 'DENY',
    });
  });

  it('can be used by who does not see them', async () => {
    const target = fixture.add('quay.io/team/app:1', {
      config: { Labels: { a: 'b' } },
      history: [{ created_by: 'x' }],
    });
    fixture.refer(target, 'application/spdx+json');
    for (const at of ['/', '/images/quay.io/team/app:1']) {
      const markup = await text(at);
      expect(markup).toContain('<html lang="en">');
      expect(markup.match(/<h1/g)).toHaveLength(1);
      expect(markup).toMatch(/<main [^>]*id="main"/);
      expect(markup.match(/<table/g)?.length).toBe(markup.match(/<caption>/g)?.length);
      for (const [header] of markup.matchAll(/<th[\s>][^>]*>?/g)) expect(header).toContain('scope=');
      const ids = [...markup.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const [, label] of markup.matchAll(/aria-labelledby="([^"]*)"/g)) expect(ids).toContain(label);
    }
    expect(await text('/')).toContain('<label for="q">');
  });

  it('list thousands of images in moments of one look', async () => {
    for (let at = 0; at < 3000; at += 1) fixture.add(`quay.io/team/app:${at}`, { layers: 1 });
    const catalogue = await fixture.catalogue();
    let looks = 0;
    page = mirrorPage({
      catalogue: {
        catalogue: () => {
          looks += 1;
          return Promise.resolve(catalogue);
        },
      },
      blobs: fixture.blobs,
      secure: true,
    });
    const body = (await ask('/?q=29&sort=size'))?.body;
    expect(looks).toBe(1);
    expect(Buffer.byteLength(Buffer.isBuffer(body) ? body : '')).toBeLessThan(500_000);
    expect(catalogue.images satisfies readonly CatalogueImage[]).toHaveLength(3000);
  });
});
