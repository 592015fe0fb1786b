import { describe, expect, it } from 'vitest';

import { LandfallError } from '../../../src/errors.js';
import { type HostEntry, type HostsFile, parseHostsFile } from '../../../src/registry/hosts/hosts-file.js';

const FILE = '/etc/containerd/certs.d/docker.io/hosts.toml';
const DIRECTORY = '/etc/containerd/certs.d/docker.io';

function read(text: string): HostsFile & { warnings: string[] } {
  const warnings: string[] = [];
  return { ...parseHostsFile(text, FILE, { onWarning: (warning) => warnings.push(warning) }), warnings };
}

/** The one host of a file with such fields. */
function hostWith(fields: string): HostEntry {
  const [host] = read(`[host."https://mirror.lan"]\n${fields}`).hosts;
  if (host === undefined) throw new Error('no host');
  return host;
}

function fault(text: string): LandfallError {
  try {
    read(text);
  } catch (error) {
    if (error instanceof LandfallError) return error as LandfallError;
    throw error;
  }
  throw new Error('it was taken');
}

/** What containerd's own test asserts of a host: where it is, what it may do, and what is set. */
function summary(entry: HostEntry): object {
  const { base, capabilities, ca, client, insecure, headers, dialTimeoutMs } = entry;
  return {
    base: base?.href,
    can: [...capabilities].join(' '),
    ...(ca.length === 0 ? {} : { ca }),
    ...(client.length === 0 ? {} : { client: client.map(({ cert, key }) => `${cert} ${key}`) }),
    ...(insecure ? { insecure } : {}),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    ...(dialTimeoutMs === undefined ? {} : { dialTimeoutMs }),
  };
}

const ALL = 'pull resolve push';

it('reads a file with every field, in its order, the server last', () => {
  const { hosts, server, warnings } = read(`
server = "https://test-default.registry"
ca = "/etc/path/default"
[header]
  X-Custom-1 = "custom header"

[host."https://mirror.registry"]
  capabilities = ["pull"]
  ca = "/etc/certs/mirror.pem"
  skip_verify = false
  [host."https://mirror.registry".header]
    x-custom-2 = ["value1", "value2"]

[host."https://mirror-bak.registry/us"]
  capabilities = ["pull"]
  skip_verify = true

[host."http://mirror.registry"]
  capabilities = ["pull"]

[host."https://test-1.registry"]
  capabilities = ["Pull", "RESOLVE", "push", "referrers"]
  ca = ["/etc/certs/test-1-ca.pem", "special.pem"]
  client = [["/etc/certs/client.cert", "/etc/certs/client.key"],["client.pem", ""]]

[host."https://test-2.registry"]
  client = "/etc/certs/client.pem"

[host."https://test-3.registry"]
  client = ["/etc/certs/client-1.pem", "/etc/certs/client-2.pem"]

[host."https://non-compliant.registry/v2/prefix"]
  capabilities = ["pull"]
  override_path = true

[host."https://no-prefix.registry"]
  override_path = true

[host."https://only-header.registry".header]
  x-custom-1 = "just a header"

[host."https://dial-timeout.registry"]
  dial_timeout = "3s"
`);
  expect(hosts.map(summary)).toEqual([
    {
      base: 'https://mirror.registry/v2',
      can: 'pull',
      ca: ['/etc/certs/mirror.pem'],
      headers: { 'x-custom-2': 'value1, value2' },
    },
    { base: 'https://mirror-bak.registry/us/v2', can: 'pull', insecure: true },
    { base: 'http://mirror.registry/v2', can: 'pull' },
    {
      base: 'https://test-1.registry/v2',
      can: ALL,
      ca: ['/etc/certs/test-1-ca.pem', `${DIRECTORY}/special.pem`],
      client: [
        '/etc/certs/client.cert /etc/certs/client.key',
        `${DIRECTORY}/client.pem ${DIRECTORY}/client.pem`,
      ],
    },
    {
      base: 'https://test-2.registry/v2',
      can: ALL,
      client: ['/etc/certs/client.pem /etc/certs/client.pem'],
    },
    {
      base: 'https://test-3.registry/v2',
      can: ALL,
      client: [
        '/etc/certs/client-1.pem /etc/certs/client-1.pem',
        '/etc/certs/client-2.pem /etc/certs/client-2.pem',
      ],
    },
    { base: 'https://non-compliant.registry/v2/prefix', can: 'pull' },
    { base: 'https://no-prefix.registry/', can: ALL },
    { base: 'https://only-header.registry/v2', can: ALL, headers: { 'x-custom-1': 'just a header' } },
    { base: 'https://dial-timeout.registry/v2', can: ALL, dialTimeoutMs: 3_000 },
  ]);
  expect(summary(server)).toEqual({
    base: 'https://test-default.registry/v2',
    can: ALL,
    ca: ['/etc/path/default'],
    headers: { 'x-custom-1': 'custom header' },
  });
  expect(warnings).toEqual([]);
});

it.each<[string, string, string]>([
  ['no server', '', ALL],
  ['an empty one', 'server = ""', ALL],
  ['fields alone', 'capabilities = ["pull"]', 'pull'],
])('takes the registry itself with %s', (_name, text, can) => {
  expect(summary(read(text).server)).toEqual({ base: undefined, can });
});

describe('keeps the order of the file', () => {
  it.each<[string, string, string[]]>([
    [
      'where names are numbers, which JavaScript would put first',
      '[host."https://b"]\n[host.127]\n[host."https://a"]\n[host."5"]\n  capabilities = [\n "pull"]\n',
      ['b', '0.0.0.127', 'a', '0.0.0.5'],
    ],
    [
      'after a text that looks like a host',
      '[host."https://b"]\nx = """\n[host.2]\n"""\n[host.127]\n[host.2]\n',
      ['b', '0.0.0.127', '0.0.0.2'],
    ],
    [
      'where a host is gone on with later',
      '[host."https://a"]\n[host."https://b"]\n[host."https://a".header]\n',
      ['a', 'b'],
    ],
    [
      'with the lines of Windows',
      '[host.127]\r\n[host."https://b"]\r\n[host.5]\r\n',
      ['0.0.0.127', 'b', '0.0.0.5'],
    ],
  ])('%s', (_name, text, expected) => {
    expect(read(text).hosts.map(({ base }) => base?.host)).toEqual(expected);
  });
});

describe('finds the address of', () => {
  const rows: [name: string, address: string, fields: string, base: string, mayBePlain?: boolean][] = [
    ['a host without a scheme', 'mirror.lan:5000', '', 'https://mirror.lan:5000/v2'],
    ['a host whose name begins with http', 'httpd.lan:5000', '', 'https://httpd.lan:5000/v2'],
    ['a host with a slash', 'https://mirror.lan/', '', 'https://mirror.lan/v2'],
    ['a path', 'https://mirror.lan/team//x/', '', 'https://mirror.lan/team/x/v2'],
    ['a path that ends in /v2', 'https://mirror.lan/team/v2/', '', 'https://mirror.lan/team/v2'],
    ['a path that has /v2 before its end', 'https://mirror.lan/v2/team', '', 'https://mirror.lan/v2/team/v2'],
    [
      'a path that is the root of the API',
      'https://mirror.lan/api/hub/',
      'override_path = true',
      'https://mirror.lan/api/hub',
    ],
    ['no path that is the root', 'https://mirror.lan/', 'override_path = true', 'https://mirror.lan/'],
    ['docker.io', 'https://docker.io', '', 'https://registry-1.docker.io/v2'],
    ['this machine without a scheme', 'localhost:5000', '', 'https://localhost:5000/v2', true],
    ['this machine by IPv6', '[::1]:5000', '', 'https://[::1]:5000/v2', true],
    ['this machine with a scheme', 'https://localhost:5000', '', 'https://localhost:5000/v2'],
    ['plain http', 'http://mirror.lan:5000', '', 'http://mirror.lan:5000/v2'],
    [
      'plain http with settings for TLS, which may be https after all',
      'http://192.168.31.250:5000',
      'skip_verify = true',
      'https://192.168.31.250:5000/v2',
      true,
    ],
    [
      'plain http with verification asked for',
      'http://mirror.lan:5000',
      'skip_verify = false',
      'https://mirror.lan:5000/v2',
      true,
    ],
    ['plain http at its own port', 'http://mirror.lan:80', 'skip_verify = true', 'http://mirror.lan/v2'],
  ];
  it.each(rows)('%s', (_name, address, fields, base, mayBePlain = false) => {
    const [host] = read(`[host."${address}"]\n${fields}`).hosts;
    expect([host?.base?.href, host?.mayBePlain]).toEqual([base, mayBePlain]);
  });
});

describe('reads the duration', () => {
  it.each<[string, number | undefined]>([
    ['', undefined],
    ['0', undefined],
    ['0s', undefined],
    ['1s', 1_000],
    ['1.5s', 1_500],
    ['.5s', 500],
    ['1m30s', 90_000],
    ['1h2m3s4ms', 3_723_004],
    ['+2s', 2_000],
    ['1500us', 2],
    ['10µs', 1],
  ])('%j', (text, expected) => {
    expect(hostWith(`dial_timeout = "${text}"`).dialTimeoutMs).toBe(expected);
  });
});

describe('of its own fields', () => {
  const landfall = (fields: string): HostEntry => hostWith(`[host."https://mirror.lan".landfall]\n${fields}`);

  it.each<[string, string, unknown]>([
    ['are its own where nothing is said', '', 'own'],
    ['of the registry', 'credentials = "upstream"', 'upstream'],
    ['are none', 'credentials = "none"', 'none'],
    [
      'are a pair',
      'credentials = { username = "robot", password = "pass" }',
      { username: 'robot', password: 'pass' },
    ],
    ['are an identity token', 'credentials = { identitytoken = "id" }', { identityToken: 'id' }],
    ['are a registry token', 'credentials = { registrytoken = "r" }', { registryToken: 'r' }],
    ['lie in a file beside it', 'credentials.file = "auth.json"', { file: `${DIRECTORY}/auth.json` }],
  ])('credentials %s', (_name, fields, expected) => {
    expect(landfall(fields).credentials).toEqual(expected);
  });

  it('takes limits', () => {
    expect(landfall('max_connections = 4\nrequests_per_second = 2.5')).toMatchObject({
      maxConnections: 4,
      requestsPerSecond: 2.5,
    });
  });

  it('takes those at the top for the server', () => {
    const { server, hosts } = read('[host.a]\n[landfall]\ncredentials = "none"\nmax_connections = 1');
    expect(server).toMatchObject({ credentials: 'none', maxConnections: 1 });
    expect(hosts[0]).toMatchObject({ credentials: 'own', maxConnections: undefined });
  });

  it.each<[name: string, expression: string, replacement: string, from: string, to: string]>([
    ['with a group', '^rancher/(.*)', 'mirror/rancher-$1', 'rancher/k3s', 'mirror/rancher-k3s'],
    ['with a group in braces', '^(.*)$', '${1}0', 'x', 'x0'],
    ['with ten groups', '(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)', '${1}0$10', 'abcdefghij', 'a0j'],
    ['with a named group', '^(?P<team>[^/]+)/', '${team}-$team/', 'a/b', 'a-a/b'],
    ['with all that matched', 'b', '<$0>', 'abc', 'a<b>c'],
    ['of every match', 'a', 'b', 'aaa', 'bbb'],
    ['with a dollar sign', 'a', '$$1', 'a', '$1'],
    ['with what only JavaScript has a meaning for', 'b', "$&$'", 'abc', "a$&$'c"],
    ['into nothing', '^library/', '', 'library/alpine', 'alpine'],
  ])('rewrites %s', (_name, expression, replacement, from, to) => {
    const [rule] = landfall(`rewrite = { '${expression}' = "${replacement}" }`).rewrite;
    if (rule === undefined) throw new Error('no rule');
    expect(rule.pattern.test(from)).toBe(true);
    expect(from.replace(rule.pattern, rule.replacement)).toBe(to);
  });

  it('keeps the order of rules that are numbers', () => {
    const { rewrite } = hostWith(
      '[host."https://mirror.lan".landfall.rewrite]\nb = "1"\n7 = "2"\na = "3"\n3 = "4"',
    );
    expect(rewrite.map(({ replacement }) => replacement)).toEqual(['1', '2', '3', '4']);
  });
});

describe('warns, with file and line, of', () => {
  it.each<[name: string, text: string, line: number, key: string]>([
    ['a key at the top', '\nserver = "https://a"\nplain_http = true', 3, 'plain_http'],
    ['a key of a host', '[host."https://a"]\nskipverify = true', 2, 'host."https://a".skipverify'],
    ['a host within a host', '[host.a]\n[host.a.host.b]', 2, 'host.a.host'],
    ['a key of its own table', '[landfall]\ncredential = "none"', 2, 'landfall.credential'],
    [
      'a key of credentials',
      '[landfall.credentials]\nidentitytoken = "s3cret"\nuser = "s3cret"',
      3,
      'landfall.credentials.user',
    ],
    ['a header that is not the host’s', '[header]\nHost = "s3cret"', 2, 'header.Host'],
    ['a user in an address', '\nserver = "https://robot:s3cret@a"', 2, 'server'],
    ['a user in a host’s name', '[host."https://robot:s3cret@a/b@c"]', 1, 'host."https://***@c"'],
    ['a query in an address', 'server = "https://a/?s3cret"', 1, 'server'],
  ])('%s', (_name, text, line, key) => {
    const { warnings } = read(text);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${FILE}:${line}: ${key} `);
    expect(warnings[0]).not.toContain('s3cret');
  });

  it('no key that is written in another case, as containerd does not', () => {
    const { server, warnings } = read('Skip_Verify = true');
    expect([server.insecure, warnings]).toEqual([true, []]);
  });
});

describe('refuses, with file, line and key, and without the value,', () => {
  const HOST = '[host."https://a"]\n';
  const KEY = 'host."https://a"';
  it.each<[name: string, text: string, line: number, key: string]>([
    ['a server that is no text', 'server = 1', 1, 'server'],
    ['a server that is no address', 'server = "https://"', 1, 'server'],
    ['a port that is none', 'server = "reg.lan:99999"', 1, 'server'],
    ['a path instead of a host', '[host."/run/registry.sock"]', 1, 'host."/run/registry.sock"'],
    ['a Unix socket', '[host."unix:///run/r.sock"]', 1, 'host."unix:///run/r.sock"'],
    ['a Unix socket with one slash', '\nserver = "unix:/run/r.sock"', 2, 'server'],
    ['a host without a name', '[host.""]', 1, 'host.""'],
    ['hosts that are no table', 'host = "https://a"', 1, 'host'],
    ['a host that is no table', '[host]\n"https://a" = "s3cret"', 2, KEY],
    ['a host that is a list', '[[host."https://a"]]', 1, KEY],
    ['capabilities that are no list', `${HOST}capabilities = "pull"`, 2, `${KEY}.capabilities`],
    ['an unknown capability', `${HOST}\n# here\ncapabilities = [\n"pull",\n"fly"]`, 4, `${KEY}.capabilities`],
    ['a ca that is a number', `${HOST}ca = 1`, 2, `${KEY}.ca`],
    ['a ca with a number', `${HOST}ca = ["a", 1]`, 2, `${KEY}.ca`],
    ['a client of three', `${HOST}client = [["a", "b", "c"]]`, 2, `${KEY}.client`],
    ['a client of one', `${HOST}client = [["a"]]`, 2, `${KEY}.client`],
    ['a client that is true', `${HOST}client = true`, 2, `${KEY}.client`],
    ['a client without a path', `${HOST}client = ""`, 2, `${KEY}.client`],
    ['a skip_verify that is text', `${HOST}skip_verify = "true"`, 2, `${KEY}.skip_verify`],
    ['an override_path that is a number', `${HOST}override_path = 1`, 2, `${KEY}.override_path`],
    ['a timeout without a unit', `${HOST}dial_timeout = "3"`, 2, `${KEY}.dial_timeout`],
    ['a timeout below nothing', `${HOST}dial_timeout = "-3s"`, 2, `${KEY}.dial_timeout`],
    ['a timeout that is a number', `${HOST}dial_timeout = 3`, 2, `${KEY}.dial_timeout`],
    ['a sign without a duration', `${HOST}dial_timeout = "+"`, 2, `${KEY}.dial_timeout`],
    ['headers that are no table', `${HOST}header = "s3cret"`, 2, `${KEY}.header`],
    ['a header that is a number', `[header]\nx = 1`, 2, 'header.x'],
    ['a header of two lines', `[header]\nx = "s3cret\\r\\ny: z"`, 2, 'header.x'],
    ['a header with a space in its name', `[header]\n"x y" = "s3cret"`, 2, 'header."x y"'],
    ['other credentials', '[landfall]\ncredentials = "s3cret"', 2, 'landfall.credentials'],
    [
      'half a pair',
      '[landfall]\ncredentials.username = "s3cret"\n\n[header]',
      2,
      'landfall.credentials.password',
    ],
    ['the other half', '[landfall]\ncredentials.password = "s3cret"', 2, 'landfall.credentials.username'],
    ['credentials that are empty', '\n[landfall.credentials]', 2, 'landfall.credentials'],
    [
      'two kinds of credentials',
      '[landfall]\ncredentials = { identitytoken = "s3cret", registrytoken = "s3cret" }',
      2,
      'landfall.credentials',
    ],
    [
      'a pair half of which stands beside a token',
      '[landfall]\ncredentials = { username = "s3cret", registrytoken = "s3cret" }',
      2,
      'landfall.credentials.password',
    ],
    ['an empty password', '[landfall.credentials]\npassword = ""', 2, 'landfall.credentials.password'],
    ['no connections', '[landfall]\nmax_connections = 0', 2, 'landfall.max_connections'],
    ['half a connection', '[landfall]\nmax_connections = 0.5', 2, 'landfall.max_connections'],
    ['endless requests', '[landfall]\nrequests_per_second = inf', 2, 'landfall.requests_per_second'],
    ['a rule that is no expression', "[landfall.rewrite]\n'(' = 'x'", 2, 'landfall.rewrite."("'],
    ['a rule that names no group', "[landfall.rewrite]\n'(a)' = '$2'", 2, 'landfall.rewrite."(a)"'],
    ['a rule that runs into a letter', "[landfall.rewrite]\n'(a)' = '$1x'", 2, 'landfall.rewrite."(a)"'],
    ['a rule as only Go has it', "[landfall.rewrite]\n'(?i)a' = 'x'", 2, 'landfall.rewrite."(?i)a"'],
    ['a rule that is a number', '[landfall.rewrite]\na = 1', 2, 'landfall.rewrite.a'],
  ])('%s', (_name, text, line, key) => {
    const error = fault(text);
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', details: { file: FILE, line, key } });
    expect(error.message).toContain(`${FILE}:${line}: ${key} `);
    expect(JSON.stringify(error) + String(error.stack) + String(error.cause)).not.toContain('s3cret');
  });

  it.each<[name: string, text: string, line: number]>([
    ['a text that is not closed', 'server = "https://a"\nca = "s3cret', 2],
    ['a key without a value', '# s3cret\n\nserver', 3],
    ['a host that is there twice', '[host."https://a"]\n[host."https://a"]', 2],
    ['YAML', 'server: s3cret', 1],
  ])('what is not TOML: %s', (_name, text, line) => {
    const error = fault(text);
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', details: { file: FILE, line } });
    expect(error.message).toMatch(new RegExp(`^${FILE}:${line}: not TOML: .+`));
    expect(JSON.stringify(error) + String(error.stack) + String(error.cause)).not.toContain('s3cret');
  });
});
