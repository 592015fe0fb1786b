import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { CertificateAuthority } from '../certificate-authority.js';
import { startDockerRegistry } from '../docker-registry.js';
import { peerOutput } from '../landfall-command.js';
import { putDocumentedImages } from './documented-images.js';
import type { FreshMachine } from './fresh-machine.js';

/**
 * Registries of the internet, in all of which the same repositories are, and names of one of a site, which is
 * empty at first.
 */
const NAMES = {
  internet: [
    'registry-1.docker.io',
    'quay.io',
    'ghcr.io',
    'registry.k8s.io',
    'registry.example',
    'registry.example.com',
  ],
  site: ['registry.lan', 'mirror.lan'],
} as const;

export type Network = keyof typeof NAMES;

/**
 * Takes TLS and plain HTTP at the same ports, as what a page says of a registry needs, and gives it to the
 * one that is asked.
 */
const FRONT = `
const fs = require('node:fs'), http = require('node:http'), https = require('node:https'), net = require('node:net');
const [directory, internet, site] = process.argv.slice(1);
const answer = (request, response) => {
  const port = /\\.lan(:|$)/.test(request.headers.host) ? site : internet;
  const { method, url: path, headers } = request;
  const asked = http.request({ host: '127.0.0.1', port, method, path, headers }, (answered) => {
    response.writeHead(answered.statusCode, answered.rawHeaders);
    answered.pipe(response);
  });
  asked.on('error', () => response.destroy());
  request.pipe(asked);
};
const plain = http.createServer(answer);
const read = (name) => fs.readFileSync(directory + '/' + name);
const secure = https.createServer({ cert: read('cert.pem'), key: read('key.pem') }, answer);
const sniff = (socket) => {
  socket.on('error', () => {});
  socket.once('readable', () => {
    const first = socket.read(1);
    if (first === null) return;
    socket.unshift(first);
    (first[0] === 22 ? secure : plain).emit('connection', socket);
  });
};
const listen = (port) => new Promise((resolve) => net.createServer(sniff).listen(port, '0.0.0.0', resolve));
const answers = (port) => new Promise((resolve) => {
  const again = () => setTimeout(() => answers(port).then(resolve), 10);
  net.connect(port, '127.0.0.1').on('connect', function () { this.destroy(); resolve(); }).on('error', again);
});
Promise.all([listen(80), listen(443), listen(5000), answers(internet), answers(site)]).then(() => console.log('ready'));
`;

/** Arguments: the directory with configurations, Node's program, the front. */
const SETUP = `
set -eu
ip link set lo up
docker-registry serve "$1/internet.yml" 2>/dev/null >&2 &
docker-registry serve "$1/site.yml" 2>/dev/null >&2 &
"$2" -e "$3" "$1" 4001 4002 &
cat
`;

/** What the registries of pages hold; made once, and copied for each page. */
export class DocumentedContent implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(): Promise<DocumentedContent> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-documented-'));
    await using registry = await startDockerRegistry({ storage: join(directory, 'storage') });
    await putDocumentedImages(directory, registry.address);
    return new DocumentedContent(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/**
 * The registries that pages speak of, by their names and ports, in a network of their own: those of the
 * internet, and one of a site. Only machines that are connected reach them.
 */
export class DocumentedRegistries implements AsyncDisposable {
  readonly #directory: string;
  readonly #authority: CertificateAuthority;
  readonly #keeper: ChildProcessByStdio<Writable, Readable, null>;
  #machines = 0;

  private constructor(
    directory: string,
    authority: CertificateAuthority,
    keeper: ChildProcessByStdio<Writable, Readable, null>,
  ) {
    this.#directory = directory;
    this.#authority = authority;
    this.#keeper = keeper;
  }

  static async start(content: DocumentedContent): Promise<DocumentedRegistries> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-registries-'));
    const authority = new CertificateAuthority('documented registries');
    const { cert, key } = authority.server({ hosts: [...NAMES.internet, ...NAMES.site] });
    await cp(join(content.directory, 'storage'), join(directory, 'internet'), { recursive: true });
    await writeFile(join(directory, 'cert.pem'), cert);
    await writeFile(join(directory, 'key.pem'), key);
    await writeFile(join(directory, 'internet.yml'), configuration(join(directory, 'internet'), 4001));
    await writeFile(join(directory, 'site.yml'), configuration(join(directory, 'site'), 4002));
    const namespaces = ['-n', '-m', '-p', '--fork', '--kill-child', '--mount-proc'];
    const script = ['sh', '-c', SETUP, 'registries', directory, process.execPath, FRONT];
    const keeper = spawn('unshare', [...namespaces, ...script], {
      env: { PATH: process.env['PATH'] ?? '', OTEL_TRACES_EXPORTER: 'none' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ready = await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')]);
    if (!Buffer.isBuffer(ready[0])) throw new Error('the registries did not start');
    return new DocumentedRegistries(directory, authority, keeper);
  }

  /** Lays a cable, by which the machine reaches the registries of these networks. */
  async connect(machine: FreshMachine, networks: readonly Network[]): Promise<void> {
    this.#machines += 1;
    const net = `10.88.${this.#machines}`;
    const cable = `m${this.#machines}`;
    const here = ['-t', `${this.#keeper.pid}`, '-n'];
    const ip = (...args: string[]): Promise<string> => peerOutput('nsenter', [...here, 'ip', ...args]);
    await ip(...['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(machine.pid)]);
    await ip('addr', 'add', `${net}.1/24`, 'dev', cable);
    await ip('link', 'set', cable, 'up');
    const names = networks.flatMap((network) => NAMES[network]).join(' ');
    const { code, stderr } = await machine.type(
      [
        `ip addr add ${net}.2/24 dev eth0 && ip link set eth0 up`,
        `echo '${net}.1 ${names}' >>/etc/hosts`,
        'cat /etc/ssl/certs/ca-certificates.crt - >/etc/ssl/certs/documented-registries.pem <<"EOF"',
        this.#authority.cert,
        'EOF',
      ].join('\n'),
    );
    if (code !== 0) throw new Error(`the machine was not connected:\n${stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#keeper, 'exit');
    this.#keeper.stdin.end();
    await exited;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function configuration(storage: string, port: number): string {
  return JSON.stringify({
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, secret: 'of this test only', relativeurls: true },
  });
}
