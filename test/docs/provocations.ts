import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { openStore } from '../../src/engine/store.js';
import type { ErrorCode } from '../../src/errors.js';
import { MetadataDatabase } from '../../src/metadata/index.js';
import { CertificateAuthority } from '../support/certificate-authority.js';
import { startLyingRegistry } from '../support/lying-registry.js';
import { errorReply, redirectReply, ScriptedRegistry } from '../support/scripted-registry.js';
import { archive, device, file } from '../support/tar-builder.js';
import { makeTinyLayout } from '../support/tiny-image.js';
import {
  answered,
  firstLayer,
  fullDisk,
  imageOf,
  imageWithWrongDiffId,
  manifestOf,
  manifestWith,
  noFailure,
  plainImage,
  publicKey,
  pulled,
  pulledUnder,
  refused,
  withImage,
} from './going-wrong.js';
import { rendered, type Shown, type Stage } from './stage.js';

/** One code, and a way to get it for real. */
export interface Provocation {
  readonly code: ErrorCode | 'INTERNAL';
  /** Needs a file system of its own. */
  readonly needsRoot?: boolean;
  readonly provoke: (stage: Stage) => Promise<Shown>;
}

/**
 * One way to get each code, in the order of the page. What `docs/signatures.md` shows is held there by a test
 * of its own.
 */
export const PROVOCATIONS: readonly Provocation[] = [
  {
    code: 'INVALID_REFERENCE',
    provoke: (stage) => stage.run(['pull', 'registry.lan/Team/app']),
  },
  {
    code: 'INVALID_CONFIG',
    provoke: (stage) =>
      withImage(stage, [], async (reference) => {
        await mkdir(join(stage.directory, 'rootfs/etc'), { recursive: true });
        return stage.run(['unpack', '--platform', 'linux/amd64', reference, join(stage.directory, 'rootfs')]);
      }),
  },
  {
    code: 'NOT_FOUND',
    provoke: (stage) => refused(stage, errorReply(404, 'MANIFEST_UNKNOWN', 'manifest unknown')),
  },
  {
    code: 'NO_MATCHING_PLATFORM',
    provoke: (stage) =>
      pulled(stage, {
        args: ['--platform', 'linux/riscv64'],
        layout: (directory) => makeTinyLayout(directory, { platforms: ['linux/amd64', 'linux/arm64'] }),
      }),
  },
  {
    code: 'BLOB_NOT_FOUND',
    provoke: (stage) => withImage(stage, [], () => stage.run(['mounts', 'debian:trixie'])),
  },
  {
    code: 'SNAPSHOT_NOT_FOUND',
    provoke: (stage) =>
      withImage(stage, ['--no-unpack'], (reference) =>
        stage.run(['mounts', '--platform', 'linux/amd64', reference]),
      ),
  },
  {
    code: 'UNAUTHORIZED',
    provoke: (stage) =>
      refused(
        stage,
        errorReply(401, 'UNAUTHORIZED', 'authentication required', {
          'www-authenticate': 'Basic realm="registry"',
        }),
      ),
  },
  {
    code: 'DENIED',
    provoke: (stage) =>
      refused(stage, errorReply(403, 'DENIED', 'requested access to the resource is denied')),
  },
  {
    code: 'UNAVAILABLE',
    provoke: async (stage) => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      server.close();
      return stage.run(['pull', `127.0.0.1:${port}/team/app:1`]);
    },
  },
  {
    code: 'RATE_LIMITED',
    provoke: (stage) =>
      refused(
        stage,
        errorReply(429, 'TOOMANYREQUESTS', 'You have reached your pull rate limit', {
          'retry-after': '3600',
        }),
      ),
  },
  {
    code: 'PROTOCOL',
    provoke: (stage) =>
      refused(stage, { headers: { 'content-type': 'text/html' }, body: '<html>Please log in</html>' }),
  },
  {
    code: 'CERTIFICATE_INVALID',
    provoke: async (stage) => {
      await using registry = await ScriptedRegistry.start([], new CertificateAuthority().server());
      return await stage.run(['pull', `${registry.address}/team/app:1`]);
    },
  },
  {
    code: 'REDIRECT_REFUSED',
    provoke: async (stage) => {
      const authority = new CertificateAuthority();
      const ca = join(stage.directory, 'ca.pem');
      await writeFile(ca, authority.cert);
      return answered(
        redirectReply('http://cdn.lan/team/app'),
        (address) => stage.run(['pull', '--ca', ca, `${address}/team/app:1`]),
        authority,
      );
    },
  },
  {
    code: 'DIGEST_MISMATCH',
    provoke: (stage) =>
      pulled(stage, {
        lie: (layout) => (what) => {
          const { digest, bytes } = firstLayer(layout);
          bytes[20] = (bytes[20] ?? 0) ^ 0xff;
          return what === digest ? { body: bytes } : undefined;
        },
      }),
  },
  {
    code: 'SIZE_MISMATCH',
    provoke: (stage) =>
      pulled(stage, {
        layout: imageOf(archive(file('etc/motd', 'ahoy'))),
        lie: (layout) => (what) => {
          const { digest, bytes } = firstLayer(layout);
          return what === digest ? { body: Buffer.concat([bytes, Buffer.from('more')]) } : undefined;
        },
      }),
  },
  {
    code: 'DIFF_ID_MISMATCH',
    provoke: (stage) => pulled(stage, { layout: imageWithWrongDiffId }),
  },
  {
    code: 'STORE_CORRUPT',
    provoke: async (stage) => {
      await withImage(stage, [], () => stage.run(['images']));
      await writeFile(join(stage.root, 'metadata.db'), '');
      return stage.run(['images']);
    },
  },
  {
    code: 'SIGNATURE_MISSING',
    provoke: (stage) =>
      pulledUnder(stage, {
        type: 'sigstoreSigned',
        keyData: publicKey(),
        signedIdentity: { type: 'matchRepository' },
      }),
  },
  {
    code: 'POLICY_REJECTED',
    provoke: (stage) => pulledUnder(stage, { type: 'reject' }),
  },
  {
    code: 'INVALID_DIGEST',
    provoke: (stage) =>
      pulled(stage, {
        lie: () => (what) =>
          what === 'tag' ? manifestOf(manifestWith({ digest: 'sha256:12ab' })) : undefined,
      }),
  },
  {
    code: 'INVALID_MANIFEST',
    provoke: (stage) =>
      pulled(stage, {
        lie: () => (what) =>
          what === 'tag' ? manifestOf({ ...manifestWith({}), layers: undefined }) : undefined,
      }),
  },
  {
    code: 'UNSUPPORTED_MEDIA_TYPE',
    provoke: (stage) =>
      pulled(stage, {
        lie: () => (what) =>
          what === 'tag'
            ? manifestOf({
                schemaVersion: 1,
                mediaType: 'application/vnd.docker.distribution.manifest.v1+json',
                name: 'team/app',
                tag: '1',
              })
            : undefined,
      }),
  },
  {
    code: 'LIMIT_EXCEEDED',
    provoke: (stage) => pulled(stage, { args: ['--unpack-limit', 'layer-bytes=1K'] }),
  },
  {
    code: 'UNSAFE_PATH',
    provoke: (stage) => pulled(stage, { layout: imageOf(archive(file('../../etc/cron.d/job', 'x'))) }),
  },
  {
    code: 'BAD_ARCHIVE',
    provoke: (stage) =>
      pulled(stage, { layout: imageOf(archive(file('etc/motd', 'x'.repeat(4096))).subarray(0, 1024)) }),
  },
  {
    code: 'UNSUPPORTED_ENTRY',
    provoke: (stage) => pulled(stage, { layout: imageOf(archive(device('c', 'dev/gone', 0, 0))) }),
  },
  {
    code: 'NO_SPACE',
    needsRoot: true,
    provoke: fullDisk,
  },
  {
    code: 'FILESYSTEM',
    provoke: (stage) => stage.run(['--root', '/proc/landfall', 'images']),
  },
  {
    code: 'LOCKED',
    provoke: async (stage) => {
      await stage.prepare('images');
      const database = join(stage.root, 'metadata.db');
      await using first = await MetadataDatabase.open(database);
      await using second = await MetadataDatabase.open(database, { busyTimeoutMs: 10 });
      return await first.transaction(() =>
        second.transaction((statements) => statements.run('DELETE FROM leases')).then(noFailure, rendered),
      );
    },
  },
  {
    code: 'IN_USE',
    provoke: async (stage) => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      const shown = await stage.run(['serve', '--listen', `127.0.0.1:${port}`]);
      server.close();
      return {
        ...shown,
        names: [
          ['registry.lan:5000', '127.0.0.1:5000'],
          [/, port \d+/g, ', port 5000'],
        ],
      };
    },
  },
  {
    code: 'ALREADY_EXISTS',
    provoke: async (stage) => {
      await using store = await openStore({ root: stage.root });
      await store.snapshotter.prepare('build-1');
      return await store.snapshotter.prepare('build-1').then(noFailure, rendered);
    },
  },
  {
    code: 'UNSUPPORTED',
    provoke: (stage) =>
      withImage(stage, [], async (reference) => {
        const shown = await stage.run(['--additional-root', stage.root, 'rmi', reference], {
          env: { LANDFALL_ROOT: join(stage.directory, 'main') },
        });
        return { ...shown, names: [['/var/lib/landfall', '/opt/images']] };
      }),
  },
  {
    code: 'ABORTED',
    provoke: async (stage) => {
      const layout = await plainImage(join(stage.directory, 'layout'));
      const never = new Promise<void>(() => undefined);
      await using registry = await startLyingRegistry(layout, (what) =>
        what === firstLayer(layout).digest ? { halfUntil: never } : undefined,
      );
      return await stage.run(['pull', `${registry.address}/team/app:1`], {
        onStart: (child) => {
          const asked = setInterval(() => {
            if (!registry.requests.some((line) => line.includes(firstLayer(layout).digest))) return;
            clearInterval(asked);
            child.kill('SIGINT');
          }, 20);
        },
      });
    },
  },
  {
    code: 'INTERNAL',
    provoke: async (stage) => {
      const broken = join(stage.directory, 'broken.cjs');
      await writeFile(broken, BROKEN);
      return withImage(stage, [], () =>
        stage.run(['images'], { env: { NODE_OPTIONS: `--require ${broken}` } }),
      );
    },
  },
];

/** Breaks what makes tables. */
const BROKEN = `
String.prototype.padEnd = () => { throw new TypeError("Cannot read properties of undefined (reading 'digest')"); };
`;
