import { describe, expect, test } from 'vitest';

import { RegistryFault } from '../../../src/serve/http/answer.js';
import { parseRoute, type Route } from '../../../src/serve/http/route.js';

const digest = `sha256:${'a'.repeat(64)}`;

/** A route in one line: kind, repository, what of it. */
function reported(route: Route): string {
  switch (route.kind) {
    case 'page':
      return `page ${route.path}`;
    case 'base':
      return 'base';
    case 'catalog':
      return 'catalog';
    case 'tags':
      return `tags ${route.repository}`;
    case 'manifest':
      return `manifest ${route.repository} ${'tag' in route ? `tag ${route.tag}` : route.digest}`;
    case 'blob':
      return `blob ${route.repository} ${route.digest}`;
    case 'uploads':
      return `uploads ${route.repository} ${route.query.toString()}`.trimEnd();
    case 'upload':
      return `upload ${route.repository} ${route.id} ${route.query.toString()}`.trimEnd();
    case 'referrers':
      return `referrers ${route.repository} ${route.digest} ${route.query.toString()}`.trimEnd();
  }
}

function answerTo(target: string): string {
  try {
    return reported(parseRoute(target));
  } catch (error) {
    if (error instanceof RegistryFault) return `${error.status} ${error.code}`;
    throw error;
  }
}

const paths: [name: string, target: string, answer: string][] = [
  ['the base', '/v2/', 'base'],
  ['the base without its slash', '/v2', 'base'],
  ['the base as a proxy is asked', 'http://registry.example/v2/', 'base'],
  ['the catalog', '/v2/_catalog?n=3', 'catalog'],
  ['a tag', '/v2/team/app/manifests/1.0', 'manifest docker.io/team/app tag 1.0'],
  ['one component', '/v2/alpine/manifests/3', 'manifest docker.io/library/alpine tag 3'],
  ['another registry', '/v2/quay.io/x/y/manifests/1', 'manifest quay.io/x/y tag 1'],
  ['a registry with a port', '/v2/127.0.0.1:5000/x/manifests/1', 'manifest 127.0.0.1:5000/x tag 1'],
  ['localhost', '/v2/localhost/x/manifests/1', 'manifest localhost/x tag 1'],
  ['docker.io written out', '/v2/docker.io/library/alpine/tags/list', 'tags docker.io/library/alpine'],
  ['a digest', `/v2/team/app/manifests/${digest}`, `manifest docker.io/team/app ${digest}`],
  [
    'a digest with an encoded colon',
    `/v2/a/b/blobs/${digest.replace(':', '%3A')}`,
    `blob docker.io/a/b ${digest}`,
  ],
  [
    'a sha512 digest',
    `/v2/a/b/blobs/sha512:${'b'.repeat(128)}`,
    `blob docker.io/a/b sha512:${'b'.repeat(128)}`,
  ],
  ['referrers', `/v2/team/app/referrers/${digest}`, `referrers docker.io/team/app ${digest}`],
  [
    'referrers of one type',
    `/v2/x/y/referrers/${digest}?ns=quay.io&artifactType=a%2Fb`,
    `referrers quay.io/x/y ${digest} ns=quay.io&artifactType=a%2Fb`,
  ],
  ['a repository called like an endpoint', '/v2/blobs/manifests/tags/list', 'tags docker.io/blobs/manifests'],
  ['ns', '/v2/library/alpine/tags/list?ns=docker.io', 'tags docker.io/library/alpine'],
  ['ns with one component', '/v2/x/tags/list?ns=quay.io', 'tags quay.io/x'],
  ['ns before a path with a host', '/v2/quay.io/x/tags/list?ns=ghcr.io', 'tags ghcr.io/quay.io/x'],
  ['ns with an encoded port', '/v2/x/tags/list?ns=127.0.0.1%3A5000', 'tags 127.0.0.1:5000/x'],
  ['ns that is localhost', '/v2/x/tags/list?ns=localhost', 'tags localhost/x'],

  ['ns that is no host', '/v2/x/tags/list?ns=team', '400 NAME_INVALID'],
  ['ns with a slash', '/v2/x/tags/list?ns=quay.io%2Fy', '400 NAME_INVALID'],
  ['ns that is empty', '/v2/x/tags/list?ns=', '400 NAME_INVALID'],
  ['an encoded slash', '/v2/team%2Fapp/tags/list', '400 NAME_INVALID'],
  ['an encoded slash in a tag', '/v2/team/app/manifests/a%2fb', '400 NAME_INVALID'],
  ['dots', '/v2/../../etc/manifests/passwd', '400 NAME_INVALID'],
  ['encoded dots', '/v2/%2e%2e/%2e%2e/etc/manifests/passwd', '400 NAME_INVALID'],
  ['an encoded NUL', '/v2/team%00/app/tags/list', '400 NAME_INVALID'],
  ['a broken encoding', '/v2/team/%zz/tags/list', '400 NAME_INVALID'],
  ['bytes that are not UTF-8', '/v2/team/%ff/tags/list', '400 NAME_INVALID'],
  ['an empty component', '/v2/team//app/tags/list', '400 NAME_INVALID'],
  ['a tag within the name', '/v2/team/app:1/tags/list', '400 NAME_INVALID'],
  ['a digest within the name', `/v2/team/app@${digest}/tags/list`, '400 NAME_INVALID'],
  ['capitals', '/v2/team/App/tags/list', '400 NAME_INVALID'],
  ['a very long name', `/v2/${'a/'.repeat(5000)}a/tags/list`, '400 NAME_INVALID'],
  ['a digest in capitals', `/v2/a/b/blobs/sha256:${'A'.repeat(64)}`, '400 DIGEST_INVALID'],
  ['a short digest', '/v2/a/b/manifests/sha256:abc', '400 DIGEST_INVALID'],
  ['a sha512 digest that is too short', `/v2/a/b/blobs/sha512:${'b'.repeat(64)}`, '400 DIGEST_INVALID'],
  ['referrers of a tag', '/v2/a/b/referrers/latest', '400 DIGEST_INVALID'],
  ['a blob by tag', '/v2/a/b/blobs/latest', '400 DIGEST_INVALID'],
  ['a digest that climbs', '/v2/a/b/blobs/..:..', '400 DIGEST_INVALID'],

  ['another version', '/v1/', 'page /v1/'],
  ['something that only begins like the version', '/v2x/', 'page /v2x/'],
  ['the root', '/', 'page /'],
  ['a page with a query', '/images/team%2Fapp?q=x', 'page /images/team%2Fapp'],
  ['nothing', '', 'page '],
  ['the place of uploads', '/v2/team/app/blobs/uploads/', 'uploads docker.io/team/app'],
  ['the place of uploads without its slash', '/v2/team/app/blobs/uploads', 'uploads docker.io/team/app'],
  [
    'a mount',
    `/v2/team/app/blobs/uploads/?mount=${digest}&from=team/base`,
    `uploads docker.io/team/app mount=${encodeURIComponent(digest)}&from=team%2Fbase`,
  ],
  ['an upload', '/v2/team/app/blobs/uploads/1-2', 'upload docker.io/team/app 1-2'],
  [
    'an upload of a mirrored registry',
    '/v2/x/y/blobs/uploads/1?ns=quay.io',
    'upload quay.io/x/y 1 ns=quay.io',
  ],
  [
    'a tag of a repository named like uploads',
    '/v2/blobs/uploads/manifests/1',
    'manifest docker.io/blobs/uploads tag 1',
  ],
  [
    'an upload to a repository named like uploads',
    '/v2/blobs/uploads/blobs/uploads/1',
    'upload docker.io/blobs/uploads 1',
  ],
  ['no name', '/v2/tags/list', '404 UNSUPPORTED'],
  ['no such endpoint', '/v2/team/app/things/1', '404 UNSUPPORTED'],
  ['other than the list of tags', '/v2/team/app/tags/all', '404 UNSUPPORTED'],
  ['the version alone below something', '/x/v2/', 'page /x/v2/'],
];

describe('a request target', () => {
  test.each(paths)('%s', (_name, target, answer) => {
    expect(answerTo(target)).toBe(answer);
  });
});
