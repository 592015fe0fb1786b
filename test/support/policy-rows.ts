/** A policy in its file, and what is to become of it. */
export interface PolicyRow {
  readonly name: string;
  readonly text: string | Buffer;
  /** What is said of it, from LINE:COLUMN on; undefined where it is a policy. */
  readonly fault: RegExp | undefined;
  /** Why peers take it otherwise: accept what is refused here, or the other way round. */
  readonly peersDiffer?: string;
}

const ANY = { type: 'insecureAcceptAnything' };
const KEY = { keyPath: '/keys/cosign.pub' };
const DATA = Buffer.from('not a key, but data').toString('base64');
const FULCIO = {
  caPath: '/keys/fulcio.pem',
  oidcIssuer: 'https://issuer.example',
  subjectEmail: 'ci@example.com',
};
const REKOR = { rekorPublicKeyPath: '/keys/rekor.pub' };
const PKI = { caRootsPath: '/keys/roots.pem', subjectEmail: 'ci@example.com' };
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

const json = (value: unknown): string => JSON.stringify(value);
const policy = (...requirements: readonly unknown[]): string => json({ default: requirements });
const sigstore = (fields: object): string => policy({ type: 'sigstoreSigned', ...fields });
const identity = (signedIdentity: unknown): string => sigstore({ ...KEY, signedIdentity });
const gpg = (fields: object): string => policy({ type: 'signedBy', ...fields });
const scope = (transport: string, name: string): string =>
  json({ default: [ANY], transports: { [transport]: { [name]: [ANY] } } });

const good = (name: string, text: string, peersDiffer?: string): PolicyRow => ({
  name,
  text,
  fault: undefined,
  ...(peersDiffer === undefined ? {} : { peersDiffer }),
});
const bad = (name: string, text: string | Buffer, fault: RegExp, peersDiffer?: string): PolicyRow => ({
  name,
  text,
  fault,
  ...(peersDiffer === undefined ? {} : { peersDiffer }),
});

const EMPTY_IS_ABSENT = 'peers take a field that is null or empty for one that is absent';

const SYNTAX: readonly PolicyRow[] = [
  good('the policy that machines come with', '{\n    "default": [{"type": "insecureAcceptAnything"}]\n}\n'),
  good('white space of all kinds', '\r\n\t {"default":\r\n[ {"type":\t"reject"} ]}\n\n'),
  good('names and strings with escapes', '{"d\\u0065fault": [{"type": "re\\u006aect"}]}'),
  bad('no bytes', '', /^1:1: the policy is empty$/),
  bad('white space alone', ' \n', /^1:1: the policy is empty$/),
  bad('a text', 'default: reject', /^1:1: "default" is not JSON$/),
  bad(
    'a comment',
    '{\n  // all\n  "default": [{"type": "reject"}]\n}',
    /^2:3: a policy may have no comments/,
  ),
  bad(
    'a comment in the middle',
    '{"default": /* all */ [{"type": "reject"}]}',
    /^1:13: a policy may have no comments/,
  ),
  bad(
    'a comma before }',
    '{\n  "default": [{"type": "reject"}],\n}',
    /^3:1: no comma may stand before this }$/,
  ),
  bad('a comma before ]', '{"default": [{"type": "reject"},]}', /^1:33: no comma may stand before this ]$/),
  bad(
    'no comma between fields',
    '{"default": [{"type": "reject"}]\n"transports": {}}',
    /^2:1: a comma is missing here$/,
  ),
  bad('no colon', '{"default" [{"type": "reject"}]}', /^1:12: a colon is missing here$/),
  bad('no value', '{"default": }', /^1:13: a value is missing here$/),
  bad('a name without quotes', '{default: [{"type": "reject"}]}', /^1:2: /),
  bad('a name in single quotes', '{\'default\': [{"type": "reject"}]}', /^1:2: /),
  bad('no end', '{"default": [{"type": "reject"}]', /^1:\d+: a } is missing here$/),
  bad('no end of a list', '{"default": [{"type": "reject"}', /^1:\d+: a ] is missing here$/),
  bad(
    'no end of a string',
    '{"default": [{"type": "reject}]}\n',
    /^1:23: this string does not end on its line$/,
  ),
  bad(
    'something behind it',
    '{"default": [{"type": "reject"}]}\n{}',
    /^2:1: the policy has ended before this/,
  ),
  bad(
    'an escape that there is none of',
    '{"default": [{"type": "\\reject\\x"}]}',
    /^1:23: this string has a \\ before/,
  ),
  bad('half an escape', '{"default": [{"type": "\\u00zz"}]}', /^1:23: this string has a \\u without/),
  bad('a control character', '{"default": [{"type": "reject\u0001"}]}', /^1:23: this string has a control/),
  bad('a number with a leading zero', '{"default": 01}', /^1:\d+: /),
  bad('a byte order mark', '\uFEFF{"default": [{"type": "reject"}]}', /^1:1: .*byte order mark/),
  bad(
    'bytes that are not UTF-8',
    Buffer.from(scope('docker', 'quay.io/te?m').replace('?', '\xe4'), 'latin1'),
    /^1:1: the policy is not UTF-8$/,
    'peers read them as replacement characters, and a scope with one of these governs nothing',
  ),
  bad('nesting without end', '['.repeat(100_000), /^1:1: the policy is not JSON$/),
  bad(
    'nesting that ends',
    `${'['.repeat(100)}${']'.repeat(100)}`,
    /^1:65: the policy is nested more than 64 deep$/,
  ),
  bad(
    'more than a mebibyte',
    `{"default": [{"type": "reject"}]${' '.repeat(1024 * 1024)}}`,
    /^1:1: the policy has 1\.0 MB \(1048609 bytes\), more than 1\.0 MB$/,
    'peers have no limit',
  ),
];

const WHOLE: readonly PolicyRow[] = [
  good('no transports', policy(ANY)),
  good('transports without any', json({ default: [ANY], transports: {} })),
  good('a transport without scopes', json({ default: [ANY], transports: { docker: {} } })),
  good('several requirements', policy(ANY, { type: 'reject' }, { type: 'sigstoreSigned', ...KEY })),
  bad('a list', '[]', /^1:1: the policy has to be an object$/),
  bad('null', 'null', /^1:1: the policy has to be an object$/),
  bad('no default', '{\n  "transports": {}\n}', /^1:1: the policy needs "default"$/),
  bad('nothing at all', '{}', /^1:1: the policy needs "default"$/),
  bad(
    'an unknown field',
    json({ default: [ANY], transport: {} }),
    /"transport" is no field of the policy, which has "default" or "transports"$/,
  ),
  bad('another case', json({ Default: [ANY] }), /"Default" is no field of the policy/),
  bad(
    'default twice',
    '{"default": [{"type": "reject"}],\n "default": [{"type": "reject"}]}',
    /^2:2: "default" stands twice in the policy$/,
  ),
  bad(
    'default twice, once in escapes',
    '{"default": [{"type": "reject"}],\n "\\u0064efault": [{"type": "reject"}]}',
    /^2:2: "default" stands twice/,
  ),
  bad('default null', json({ default: null }), /^1:12: "default" has to be a list$/),
  bad('default an object', json({ default: ANY }), /^1:12: "default" has to be a list$/),
  bad('default empty', json({ default: [] }), /^1:12: "default" is an empty list$/),
  bad('transports a list', json({ default: [ANY], transports: [] }), /"transports" has to be an object$/),
  bad('transports null', json({ default: [ANY], transports: null }), /"transports" has to be an object$/),
  bad(
    'a transport a list',
    json({ default: [ANY], transports: { docker: [ANY] } }),
    /the transport "docker" has to be an object$/,
  ),
  bad(
    'a transport twice',
    '{"default": [{"type": "reject"}], "transports": {"docker": {}, "docker": {}}}',
    /"docker" stands twice in "transports"$/,
  ),
  bad(
    'a scope twice',
    '{"default": [{"type": "reject"}], "transports": {"docker": {"a.io": [{"type": "reject"}], "a.io": [{"type": "reject"}]}}}',
    /"a\.io" stands twice in the transport "docker"$/,
  ),
  bad(
    'a scope without requirements',
    json({ default: [ANY], transports: { docker: { 'a.io': [] } } }),
    /"a\.io" is an empty list$/,
  ),
  bad(
    'a scope that is no list',
    json({ default: [ANY], transports: { docker: { '': ANY } } }),
    /"" has to be a list$/,
  ),
  bad('a requirement null', policy(null), /^1:13: a requirement has to be an object$/),
  bad('a requirement a string', policy('reject'), /^1:13: a requirement has to be an object$/),
  bad('a requirement without a type', policy({}), /^1:13: a requirement needs "type"$/),
  bad('a type that is no string', policy({ type: 1 }), /"type" has to be a string$/),
  bad(
    'an unknown type',
    policy({ type: 'signed' }),
    /^1:21: there is no requirement "signed"; it is "insecureAcceptAnything", "reject", "sigstoreSigned"/,
  ),
  bad('a type in another case', policy({ type: 'Reject' }), /there is no requirement "Reject"/),
  bad(
    'insecureAcceptAnything with a field',
    policy({ ...ANY, keyPath: '/k' }),
    /"keyPath" is no field of "insecureAcceptAnything", which has "type"$/,
  ),
  bad('reject with a field', policy({ type: 'reject', scope: '' }), /"scope" is no field of "reject"/),
  bad(
    'a type twice',
    '{"default": [{"type": "reject", "type": "reject"}]}',
    /"type" stands twice in a requirement$/,
  ),
];

const SCOPES: readonly PolicyRow[] = [
  ...[
    '',
    'docker.io/library/busybox:latest',
    `quay.io/a@${DIGEST}`,
    'localhost:5000/ns',
    'localhost:5000',
    '*.example.com',
    '/',
    'Not A Name',
    'example*.*.com',
  ].map((name) => good(`docker: ${name}`, scope('docker', name))),
  ...['oci', 'oci-archive', 'dir', 'sif'].flatMap((transport) => [
    good(`${transport}: all`, scope(transport, '')),
    good(`${transport}: a path`, scope(transport, '/srv/images')),
    good(`${transport}: a path with a colon`, scope(transport, '/srv/images:1')),
    bad(
      `${transport}: the root`,
      scope(transport, '/'),
      /"\/" is no scope of the transport ".*": write "" for all/,
    ),
    bad(`${transport}: a relative path`, scope(transport, 'srv/images'), /it has to be an absolute path$/),
    bad(`${transport}: a dot`, scope(transport, '.'), /it has to be an absolute path$/),
    bad(`${transport}: a slash at the end`, scope(transport, '/srv/images/'), /write it as "\/srv\/images"$/),
    bad(`${transport}: two slashes`, scope(transport, '//srv'), /write it as "\/srv"$/),
    bad(`${transport}: a way up`, scope(transport, '/srv/../images'), /write it as "\/images"$/),
    bad(
      `${transport}: the directory itself`,
      scope(transport, '/srv/./images'),
      /write it as "\/srv\/images"$/,
    ),
  ]),
  ...['docker-archive', 'tarball'].flatMap((transport) => [
    good(`${transport}: all`, scope(transport, '')),
    bad(`${transport}: a path`, scope(transport, '/srv/image.tar'), /it has none but ""$/),
    bad(`${transport}: a name`, scope(transport, 'docker.io/library/busybox'), /it has none but ""$/),
  ]),
  good('docker-daemon: a host and port', scope('docker-daemon', 'localhost:5000')),
  bad('docker-daemon: a digest', scope('docker-daemon', DIGEST), /it may not be a digest$/),
  good('atomic: a tag', scope('atomic', 'example.com:8443/ns/stream:1')),
  good('a transport that is not known', scope('carrier-pigeon', 'whatever')),
  good('a transport that is no longer there', scope('ostree', 'whatever')),
  good('a transport without a name', scope('', 'whatever')),
  bad(
    'a fault below a transport that is not known',
    json({ default: [ANY], transports: { pigeon: { x: [{ type: 'coo' }] } } }),
    /there is no requirement "coo"/,
  ),
];

const SIGSTORE: readonly PolicyRow[] = [
  good('keyPath', sigstore(KEY)),
  good('keyPaths', sigstore({ keyPaths: ['/a.pub', '/b.pub'] })),
  good('keyData', sigstore({ keyData: DATA })),
  good('keyData in lines', sigstore({ keyData: `${DATA.slice(0, 8)}\n${DATA.slice(8)}\r\n` })),
  good('keyDatas', sigstore({ keyDatas: [DATA, DATA] })),
  good('one Rekor key', sigstore({ ...KEY, ...REKOR })),
  good('Rekor keys', sigstore({ ...KEY, rekorPublicKeyPaths: ['/a.pub', '/b.pub'] })),
  good('Rekor data', sigstore({ ...KEY, rekorPublicKeyData: DATA })),
  good('Rekor datas', sigstore({ ...KEY, rekorPublicKeyDatas: [DATA] })),
  good('fulcio', sigstore({ fulcio: FULCIO, ...REKOR })),
  good('fulcio with data', sigstore({ fulcio: { ...FULCIO, caPath: undefined, caData: DATA }, ...REKOR })),
  good('pki', sigstore({ pki: PKI })),
  good(
    'pki with data',
    sigstore({ pki: { caRootsData: DATA, caIntermediatesData: DATA, subjectHostname: 'ci.example.com' } }),
  ),
  good('pki with intermediates', sigstore({ pki: { ...PKI, caIntermediatesPath: '/keys/more.pem' } })),
  good('pki with both subjects', sigstore({ pki: { ...PKI, subjectHostname: 'ci.example.com' } })),

  bad(
    'no key',
    sigstore({}),
    /"sigstoreSigned" needs one of "keyPath", "keyPaths", "keyData", "keyDatas", "fulcio" or "pki"$/,
  ),
  bad(
    'sigstoreSigned with an unknown field',
    sigstore({ keyPth: '/k' }),
    /"keyPth" is no field of "sigstoreSigned", which has "type", "keyPath"/,
  ),
  bad(
    'a field of another type',
    sigstore({ ...KEY, keyType: 'GPGKeys' }),
    /"keyType" is no field of "sigstoreSigned"/,
  ),
  bad(
    'a field twice',
    '{"default": [{"type": "sigstoreSigned", "keyPath": "/a", "keyPath": "/b"}]}',
    /"keyPath" stands twice/,
  ),
  ...Object.entries({ keyPaths: ['/b.pub'], keyData: DATA, keyDatas: [DATA], fulcio: FULCIO, pki: PKI }).map(
    ([key, value]) =>
      bad(
        `keyPath and ${key}`,
        sigstore({ ...KEY, [key]: value, ...(key === 'fulcio' ? REKOR : {}) }),
        /"sigstoreSigned" has "keyPath" already; only one of/,
      ),
  ),
  bad(
    'fulcio and pki',
    sigstore({ fulcio: FULCIO, pki: PKI, ...REKOR }),
    /"sigstoreSigned" has "fulcio" already/,
  ),
  bad('keyPath a number', sigstore({ keyPath: 1 }), /"keyPath" has to be a string$/),
  bad('keyPath a list', sigstore({ keyPath: ['/a'] }), /"keyPath" has to be a string$/),
  bad('keyPath null', sigstore({ keyPath: null }), /"keyPath" has to be a string$/),
  bad('keyPath empty', sigstore({ keyPath: '' }), /"keyPath" is empty$/),
  bad(
    'keyPath null beside keyData',
    sigstore({ keyPath: null, keyData: DATA }),
    /has "keyPath" already/,
    EMPTY_IS_ABSENT,
  ),
  bad(
    'keyPath empty beside keyData',
    sigstore({ keyPath: '', keyData: DATA }),
    /has "keyPath" already/,
    EMPTY_IS_ABSENT,
  ),
  bad(
    'keyPath relative',
    sigstore({ keyPath: 'keys/cosign.pub' }),
    /"keyPath" has to be an absolute path, which "keys\/cosign\.pub" is not/,
    'peers take it from the directory in which they are started, which whoever chooses that could use to choose the key',
  ),
  bad(
    'keyPath with a NUL',
    sigstore({ keyPath: '/a\0b' }),
    /"keyPath" has a NUL, which no path can have$/,
    'peers find out when they open it',
  ),
  bad('keyPaths a string', sigstore({ keyPaths: '/a' }), /"keyPaths" has to be a list$/),
  bad('keyPaths empty', sigstore({ keyPaths: [] }), /"keyPaths" is an empty list$/),
  bad('keyPaths null', sigstore({ keyPaths: null }), /"keyPaths" has to be a list$/),
  bad('keyPaths of numbers', sigstore({ keyPaths: ['/a', 1] }), /"keyPaths" has to be a string$/),
  bad(
    'keyPaths with an empty one',
    sigstore({ keyPaths: ['/a', ''] }),
    /"keyPaths" is empty$/,
    'peers find out when they open it',
  ),
  bad(
    'keyData that is no base64',
    sigstore({ keyData: '?' }),
    /"keyData" has to be base64, with its padding$/,
  ),
  bad(
    'keyData without padding',
    sigstore({ keyData: 'Zg' }),
    /"keyData" has to be base64, with its padding$/,
  ),
  bad('keyData of URLs', sigstore({ keyData: '-_-_' }), /"keyData" has to be base64/),
  bad('keyData with a space', sigstore({ keyData: 'Zm 9v' }), /"keyData" has to be base64/),
  bad(
    'keyData with something behind its padding',
    sigstore({ keyData: 'Zg==Zg==' }),
    /"keyData" has to be base64/,
  ),
  bad(
    'keyData empty',
    sigstore({ keyData: '' }),
    /"keyData" is empty$/,
    'peers find out when they read the key',
  ),
  bad(
    'keyData of numbers',
    sigstore({ keyData: [102, 103] }),
    /"keyData" has to be a string$/,
    'peers take a list of numbers for bytes',
  ),
  bad('keyDatas a string', sigstore({ keyDatas: DATA }), /"keyDatas" has to be a list$/),
  bad('keyDatas empty', sigstore({ keyDatas: [] }), /"keyDatas" is an empty list$/),
  bad('keyDatas that are no base64', sigstore({ keyDatas: [DATA, '?'] }), /"keyDatas" has to be base64/),

  bad(
    'two kinds of Rekor keys',
    sigstore({ ...KEY, ...REKOR, rekorPublicKeyData: DATA }),
    /"sigstoreSigned" has "rekorPublicKeyPath" already/,
  ),
  bad(
    'Rekor keys empty',
    sigstore({ ...KEY, rekorPublicKeyPaths: [] }),
    /"rekorPublicKeyPaths" is an empty list$/,
  ),
  bad(
    'Rekor datas empty',
    sigstore({ ...KEY, rekorPublicKeyDatas: [] }),
    /"rekorPublicKeyDatas" is an empty list$/,
  ),
  bad(
    'Rekor data that is no base64',
    sigstore({ ...KEY, rekorPublicKeyData: '?' }),
    /"rekorPublicKeyData" has to be base64/,
  ),
  bad(
    'a Rekor key that is empty',
    sigstore({ ...KEY, rekorPublicKeyPath: '' }),
    /"rekorPublicKeyPath" is empty$/,
    EMPTY_IS_ABSENT,
  ),

  bad(
    'fulcio without Rekor',
    sigstore({ fulcio: FULCIO }),
    /"sigstoreSigned" needs one of "rekorPublicKeyPath", .* beside "fulcio"/,
  ),
  bad('fulcio a string', sigstore({ fulcio: '/ca', ...REKOR }), /"fulcio" has to be an object$/),
  bad('fulcio null', sigstore({ fulcio: null, ...REKOR }), /"fulcio" has to be an object$/),
  bad(
    'fulcio without a CA',
    sigstore({ fulcio: { ...FULCIO, caPath: undefined }, ...REKOR }),
    /"fulcio" needs one of "caPath" or "caData"$/,
  ),
  bad(
    'fulcio with two CAs',
    sigstore({ fulcio: { ...FULCIO, caData: DATA }, ...REKOR }),
    /"fulcio" has "caPath" already/,
  ),
  bad(
    'fulcio without an issuer',
    sigstore({ fulcio: { ...FULCIO, oidcIssuer: undefined }, ...REKOR }),
    /"fulcio" needs "oidcIssuer"$/,
  ),
  bad(
    'fulcio with an empty issuer',
    sigstore({ fulcio: { ...FULCIO, oidcIssuer: '' }, ...REKOR }),
    /"oidcIssuer" is empty$/,
  ),
  bad(
    'fulcio without a subject',
    sigstore({ fulcio: { ...FULCIO, subjectEmail: undefined }, ...REKOR }),
    /"fulcio" needs "subjectEmail"$/,
  ),
  bad(
    'fulcio with an empty subject',
    sigstore({ fulcio: { ...FULCIO, subjectEmail: '' }, ...REKOR }),
    /"subjectEmail" is empty$/,
  ),
  bad(
    'fulcio with an unknown field',
    sigstore({ fulcio: { ...FULCIO, subjectRegex: '.*' }, ...REKOR }),
    /"subjectRegex" is no field of "fulcio"/,
  ),

  bad('pki with Rekor', sigstore({ pki: PKI, ...REKOR }), /"rekorPublicKeyPath" may not stand beside "pki"$/),
  bad(
    'pki without roots',
    sigstore({ pki: { subjectEmail: 'a@b.c' } }),
    /"pki" needs one of "caRootsPath" or "caRootsData"$/,
  ),
  bad(
    'pki with two roots',
    sigstore({ pki: { ...PKI, caRootsData: DATA } }),
    /"pki" has "caRootsPath" already/,
  ),
  bad(
    'pki with two intermediates',
    sigstore({ pki: { ...PKI, caIntermediatesPath: '/a', caIntermediatesData: DATA } }),
    /"pki" has "caIntermediatesPath" already/,
  ),
  bad(
    'pki without a subject',
    sigstore({ pki: { caRootsPath: '/a' } }),
    /"pki" needs "subjectEmail" or "subjectHostname", or both$/,
  ),
  bad(
    'pki with an empty subject',
    sigstore({ pki: { ...PKI, subjectEmail: '' } }),
    /"subjectEmail" is empty$/,
  ),
  bad(
    'pki with an unknown field',
    sigstore({ pki: { ...PKI, oidcIssuer: 'https://a' } }),
    /"oidcIssuer" is no field of "pki"/,
  ),
];

const SIGNED_BY: readonly PolicyRow[] = [
  ...['GPGKeys', 'signedByGPGKeys', 'X509Certificates', 'signedByX509CAs'].map((keyType) =>
    good(`signedBy with ${keyType}`, gpg({ keyType, ...KEY })),
  ),
  good('signedBy with keyPaths', gpg({ keyType: 'GPGKeys', keyPaths: ['/a', '/b'] })),
  good(
    'signedBy with keyData',
    gpg({ keyType: 'GPGKeys', keyData: DATA, signedIdentity: { type: 'matchExact' } }),
  ),
  bad('signedBy without keyType', gpg(KEY), /"signedBy" needs "keyType"$/),
  bad(
    'signedBy with an unknown keyType',
    gpg({ keyType: 'PGP', ...KEY }),
    /there is no "keyType" "PGP"; it is "GPGKeys"/,
  ),
  bad(
    'signedBy without a key',
    gpg({ keyType: 'GPGKeys' }),
    /"signedBy" needs one of "keyPath", "keyPaths" or "keyData"$/,
  ),
  bad(
    'signedBy with two keys',
    gpg({ keyType: 'GPGKeys', ...KEY, keyData: DATA }),
    /"signedBy" has "keyPath" already/,
  ),
  bad(
    'signedBy with keyDatas',
    gpg({ keyType: 'GPGKeys', keyDatas: [DATA] }),
    /"keyDatas" is no field of "signedBy"/,
  ),
  bad(
    'signedBy with a wrong identity',
    gpg({ keyType: 'GPGKeys', ...KEY, signedIdentity: {} }),
    /"signedIdentity" needs "type"$/,
  ),
  bad(
    'signedBy with an empty list',
    gpg({ keyType: 'GPGKeys', keyPaths: [] }),
    /"keyPaths" is an empty list$/,
    'peers find out when they read the keys',
  ),
  good('signedBaseLayer', policy({ type: 'signedBaseLayer', baseLayerIdentity: { type: 'matchExact' } })),
  bad(
    'signedBaseLayer without an identity',
    policy({ type: 'signedBaseLayer' }),
    /"signedBaseLayer" needs "baseLayerIdentity"$/,
  ),
];

const remap = (prefix: unknown, signedPrefix: unknown): string =>
  identity({ type: 'remapIdentity', prefix, signedPrefix });

const IDENTITIES: readonly PolicyRow[] = [
  ...['matchExact', 'matchRepoDigestOrExact', 'matchRepository'].flatMap((type) => [
    good(type, identity({ type })),
    bad(
      `${type} with a field`,
      identity({ type, dockerReference: 'a:1' }),
      new RegExp(`"dockerReference" is no field of "${type}"`),
    ),
  ]),
  good(
    'matchDigest',
    identity({ type: 'matchDigest' }),
    'it is a type of landfall alone, for bundles, which these peers do not read',
  ),
  bad('an identity null', identity(null), /"signedIdentity" has to be an object$/),
  bad('an identity a string', identity('matchExact'), /"signedIdentity" has to be an object$/),
  bad('an identity without a type', identity({}), /"signedIdentity" needs "type"$/),
  bad(
    'an identity of an unknown type',
    identity({ type: 'matchAll' }),
    /"signedIdentity" has no type "matchAll"; it is "matchExact"/,
  ),
  good('exactReference with a tag', identity({ type: 'exactReference', dockerReference: 'busybox:1' })),
  good(
    'exactReference with a digest',
    identity({ type: 'exactReference', dockerReference: `quay.io/a/b@${DIGEST}` }),
  ),
  bad(
    'exactReference without one',
    identity({ type: 'exactReference' }),
    /"exactReference" needs "dockerReference"$/,
  ),
  bad(
    'exactReference without a tag',
    identity({ type: 'exactReference', dockerReference: 'quay.io/a/b' }),
    /"dockerReference" needs a tag or a digest, which "quay\.io\/a\/b" has not$/,
  ),
  bad(
    'exactReference that is none',
    identity({ type: 'exactReference', dockerReference: 'UPPER:1' }),
    /invalid reference "UPPER:1"/,
  ),
  bad(
    'exactReference that is empty',
    identity({ type: 'exactReference', dockerReference: '' }),
    /"dockerReference" is empty$/,
  ),
  bad(
    'exactReference with more',
    identity({ type: 'exactReference', dockerReference: 'a:1', dockerRepository: 'a' }),
    /"dockerRepository" is no field of "exactReference"/,
  ),
  good('exactRepository', identity({ type: 'exactRepository', dockerRepository: 'quay.io/a/b' })),
  good('exactRepository with a tag', identity({ type: 'exactRepository', dockerRepository: 'busybox:1' })),
  bad(
    'exactRepository without one',
    identity({ type: 'exactRepository' }),
    /"exactRepository" needs "dockerRepository"$/,
  ),
  bad(
    'exactRepository that is none',
    identity({ type: 'exactRepository', dockerRepository: 'a//b' }),
    /invalid reference "a\/\/b"/,
  ),
  bad(
    'exactRepository a number',
    identity({ type: 'exactRepository', dockerRepository: 1 }),
    /"dockerRepository" has to be a string$/,
  ),
  ...[
    'localhost',
    'mirror.example',
    'mirror.example:5000',
    'mirror.example/ns',
    'mirror.example:5000/a/b',
    'shortname',
    'ns/shortname',
    'UPPER.example',
    'mirror.example/a__b/c-d.e',
  ].flatMap((prefix) => [
    good(`remapIdentity from ${prefix}`, remap(prefix, 'docker.io')),
    good(`remapIdentity to ${prefix}`, remap('docker.io', prefix)),
  ]),
  ...[
    'mirror.example/',
    'mirror.example/ns:tag',
    `mirror.example/ns@${DIGEST}`,
    '/ns',
    'https://mirror.example',
    'mirror.example/UPPER',
    'mirror..example',
    'mirror.example:port',
    '*.example.com',
    ' mirror.example',
  ].flatMap((prefix) => [
    bad(
      `remapIdentity from ${prefix}`,
      remap(prefix, 'docker.io'),
      /"prefix" has to be HOST\[:PORT\] or HOST\[:PORT\]\/PATH/,
    ),
    bad(`remapIdentity to ${prefix}`, remap('docker.io', prefix), /"signedPrefix" has to be HOST\[:PORT\]/),
  ]),
  bad(
    'remapIdentity without a prefix',
    identity({ type: 'remapIdentity', signedPrefix: 'a.io' }),
    /"remapIdentity" needs "prefix"$/,
  ),
  bad(
    'remapIdentity without a signed prefix',
    identity({ type: 'remapIdentity', prefix: 'a.io' }),
    /"remapIdentity" needs "signedPrefix"$/,
  ),
  bad('remapIdentity from nothing', remap('', 'docker.io'), /"prefix" is empty$/),
];

/** Policies, right and wrong, each in one way. */
export const POLICY_ROWS: readonly PolicyRow[] = [
  ...SYNTAX,
  ...WHOLE,
  ...SCOPES,
  ...SIGSTORE,
  ...SIGNED_BY,
  ...IDENTITIES,
];
