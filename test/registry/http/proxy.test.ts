import { describe, expect, it } from 'vitest';

import { LandfallError } from '../../../src/errors.js';
import { proxyFor, type ProxyEnvironment } from '../../../src/registry/http/proxy.js';

const found = (url: string, env: ProxyEnvironment): string | undefined => proxyFor(new URL(url), env)?.href;

describe('takes', () => {
  const both = { HTTP_PROXY: 'http.proxy', HTTPS_PROXY: 'secure.proxy' };
  it.each<[name: string, env: ProxyEnvironment, url: string, expected: string | undefined]>([
    ['none where none is set', {}, 'https://quay.io', undefined],
    ['HTTP_PROXY for http', both, 'http://quay.io', 'http://http.proxy/'],
    ['HTTPS_PROXY for https', both, 'https://quay.io', 'http://secure.proxy/'],
    ['no HTTP_PROXY for https', { HTTP_PROXY: 'http.proxy' }, 'https://quay.io', undefined],
    ['no HTTPS_PROXY for http', { HTTPS_PROXY: 'secure.proxy' }, 'http://quay.io', undefined],
    ['none for another scheme', both, 'ftp://quay.io', undefined],
    ['lower case', { https_proxy: 'lower.proxy' }, 'https://quay.io', 'http://lower.proxy/'],
    [
      'upper case before it',
      { https_proxy: 'lower.proxy', HTTPS_PROXY: 'upper.proxy' },
      'https://quay.io',
      'http://upper.proxy/',
    ],
    [
      'lower case where upper case is empty',
      { https_proxy: 'lower.proxy', HTTPS_PROXY: '' },
      'https://quay.io',
      'http://lower.proxy/',
    ],
    ['ALL_PROXY for https', { ALL_PROXY: 'all.proxy' }, 'https://quay.io', 'http://all.proxy/'],
    ['all_proxy for http', { all_proxy: 'all.proxy' }, 'http://quay.io', 'http://all.proxy/'],
    [
      'the other before ALL_PROXY',
      { ...both, ALL_PROXY: 'all.proxy' },
      'https://quay.io',
      'http://secure.proxy/',
    ],
    ['no HTTP_PROXY in a CGI program', { ...both, REQUEST_METHOD: 'GET' }, 'http://quay.io', undefined],
    ['HTTPS_PROXY there', { ...both, REQUEST_METHOD: 'GET' }, 'https://quay.io', 'http://secure.proxy/'],
    ['an address with a port', { HTTP_PROXY: '127.0.0.1:8080' }, 'http://quay.io', 'http://127.0.0.1:8080/'],
    ['a name that could be a scheme', { HTTP_PROXY: 'proxy:3128' }, 'http://quay.io', 'http://proxy:3128/'],
    ['a bare name', { HTTP_PROXY: 'localhost' }, 'http://quay.io', 'http://localhost/'],
    ['a proxy over TLS', { HTTP_PROXY: 'https://proxy.lan' }, 'http://quay.io', 'https://proxy.lan/'],
    ['a user and password', { HTTP_PROXY: 'http://u:p%40@proxy' }, 'http://quay.io', 'http://u:p%40@proxy/'],
    ['them without a scheme', { HTTP_PROXY: 'u:p@proxy:3128' }, 'http://quay.io', 'http://u:p@proxy:3128/'],
    ['space around it for nothing', { HTTP_PROXY: ' proxy ' }, 'http://quay.io', 'http://proxy/'],
  ])('%s', (_name, env, url, expected) => {
    expect(found(url, env)).toBe(expected);
  });
});

/** What Go's own test has, and some more. */
const LIST =
  'foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, 2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64, [2001:db8::9], UPPER.com, ported.com:8080, .ported.net:8080, 示例.com, :1, ,10.0.0.0/99, 0.0.9';

describe('goes directly, or not, to', () => {
  it.each<[host: string, directly: boolean, why: string]>([
    ['localhost', true, 'always'],
    ['LOCALHOST', true, 'always'],
    ['127.0.0.1', true, 'always'],
    ['127.0.0.2', true, 'always'],
    ['[::1]', true, 'always'],
    ['[::ffff:127.0.0.1]', true, 'always'],
    ['[::2]', false, 'no loopback'],
    ['localhost.net', false, 'another name'],
    ['local.localhost', false, 'another name'],
    ['192.168.1.1', true, 'an address'],
    ['[::ffff:192.168.1.1]', true, 'an address in its other form'],
    ['192.168.1.2', false, 'another port'],
    ['192.168.1.2:81', true, 'its port'],
    ['192.168.1.3', true, 'its port'],
    ['192.168.1.4', false, 'not listed'],
    ['10.0.0.2', true, 'within the block'],
    ['10.0.0.4', false, 'beyond the block'],
    ['[2001:db8::52:0:1]', true, 'an address'],
    ['[2001:db8:0::52:0:1]', true, 'an address written in another way'],
    ['[2001:db8::52:0:2]', false, 'another port'],
    ['[2001:db8::52:0:3]', true, 'its port'],
    ['[2001:db8::9]', true, 'in brackets without a port'],
    ['[2002:db8:a::123]', true, 'within the block'],
    ['[fe80::424b:c8be:1643:a1b6]', false, 'not listed'],
    ['barbaz.net', false, 'only what lies below'],
    ['www.barbaz.net', true, 'below'],
    ['foobar.com', true, 'a name'],
    ['www.foobar.com', true, 'below a name'],
    ['foofoobar.com', false, 'ends with it only'],
    ['baz.com', false, 'only an end of a name'],
    ['wildcard.io', false, 'only what lies below'],
    ['nested.wildcard.io', true, 'below'],
    ['awildcard.io', false, 'ends with it only'],
    ['upper.com', true, 'whatever the case'],
    ['ported.com', false, 'another port'],
    ['ported.com:8080', true, 'its port'],
    ['x.ported.net:8080', true, 'its port, below'],
    ['192.0.0.9', false, 'no address ends with it'],
    ['trailing.dot.', false, 'not listed'],
    ['www.xn--fsq092h.com', true, 'a name in Unicode'],
  ])('%s: %s (%s)', (host, directly) => {
    expect(found(`http://${host}`, { HTTP_PROXY: 'proxy', NO_PROXY: LIST })).toBe(
      directly ? undefined : 'http://proxy/',
    );
  });

  it('a host by the port of its scheme', () => {
    const env = { ALL_PROXY: 'proxy', no_proxy: 'quay.io:443' };
    expect(found('https://quay.io', env)).toBeUndefined();
    expect(found('http://quay.io', env)).toBe('http://proxy/');
    expect(found('http://quay.io:443', env)).toBeUndefined();
  });

  it('everything with *', () => {
    expect(found('http://quay.io', { HTTP_PROXY: 'proxy', NO_PROXY: 'a, *' })).toBeUndefined();
  });
});

describe('refuses, without a word of the password,', () => {
  const refusal = (url: string, env: ProxyEnvironment): LandfallError => {
    try {
      found(url, env);
    } catch (error) {
      if (error instanceof LandfallError) return error as LandfallError;
      throw error;
    }
    throw new Error('it was taken');
  };

  it.each<[name: string, value: string, says: string]>([
    ['a SOCKS proxy', 'socks5://robot:s3cret@proxy:1080', 'SOCKS'],
    ['a SOCKS proxy that looks names up', 'socks5h://robot:s3cret@proxy:1080', 'SOCKS'],
    ['another scheme', 'ftp://robot:s3cret@proxy', 'neither http nor https'],
    ['no address', 'http://robot:s3cret@:99999', 'not the address'],
    ['a port that is none', 'robot:s3cret@proxy:99999', 'not the address'],
  ])('%s', (_name, value, says) => {
    const error = refusal('https://quay.io', { all_proxy: value });
    expect(error).toMatchObject({ code: 'INVALID_CONFIG' });
    expect(error.message).toContain(`all_proxy `);
    expect(error.message).toContain(says);
    expect(JSON.stringify(error) + String(error.stack) + String(error.cause)).not.toContain('s3cret');
  });

  it('none that does not apply', () => {
    const env = { HTTPS_PROXY: 'socks5://proxy', NO_PROXY: 'quay.io' };
    expect(found('https://quay.io', env)).toBeUndefined();
    expect(found('http://example.com', env)).toBeUndefined();
  });
});
