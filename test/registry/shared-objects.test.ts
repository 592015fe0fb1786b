import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RegistryError } from '../../src/errors.js';
import {
  type FailoverOptions,
  HostLimiter,
  HostHealth,
  HostHealths,
} from '../../src/registry/hosts/host-health.js';
import { MirrorList } from '../../src/registry/hosts/mirror-list.js';
import { RegistryHost } from '../../src/registry/hosts/registry-host.js';
import { collectBody } from '../../src/registry/http/http.js';
import { ByteRateLimit } from '../../src/registry/http/byte-rate-limit.js';
import { Transport } from '../../src/registry/http/transport.js';
import { mirrorAt } from '../support/host-configs.js';
import { type Operation, type SharedObject, sharedObjectSuite } from '../suites/shared-object.js';

/** A host is left alone for no time, so that a failure is only that. */
const PATIENT: FailoverOptions = { pauseMs: 0 };

sharedObjectSuite(
  'the trial slots of a host',
  () => {
    const health = new HostHealth(PATIENT);
    return {
      begin: async ({ signal, work }) => {
        const leave = await health.enter(() => true, { signal });
        try {
          await work(signal);
        } catch (error) {
          health.failed();
          throw error;
        } finally {
          leave?.();
        }
      },
      waiting: () => health.waiting,
    };
  },
  { atOnce: 2 },
);

/** Requests to a host, each of which is under way for as long as its work. */
function requestsThrough(limiter: HostLimiter): SharedObject {
  return {
    begin: async ({ signal, work }) => {
      const leave = await limiter.enter({ signal });
      try {
        await work(signal);
      } finally {
        leave();
      }
    },
    left: () => ({ active: limiter.active }),
    waiting: () => limiter.waiting,
  };
}

sharedObjectSuite(
  'the connections of a host',
  () => requestsThrough(new HostLimiter({ maxConnections: 2 })),
  {
    atOnce: 2,
  },
);

sharedObjectSuite(
  'the rate of a host',
  () => requestsThrough(new HostLimiter({ maxConnections: 3, requestsPerSecond: 1_000 })),
  { atOnce: 3, io: true, runs: 30 },
);

sharedObjectSuite(
  'the hosts of a registry',
  () => {
    const hosts = ['one', 'two'].map(
      (name) =>
        new RegistryHost({
          registry: 'registry.example',
          config: mirrorAt(`${name}.example`),
          transport: { send: () => Promise.reject(new Error('nothing is sent')) },
          credentials: undefined,
          userAgent: 'landfall',
          onWarning: undefined,
        }),
    );
    const mirrors = new MirrorList({
      registry: 'registry.example',
      hosts: () => Promise.resolve(hosts),
      healths: new HostHealths(PATIENT),
      retry: { attempts: 1 },
      failover: PATIENT,
    });
    return {
      begin: ({ signal, work }) =>
        mirrors.run({ capability: 'pull', blob: true, signal }, async (attempt) => {
          await work(attempt.signal);
          attempt.over({ bytes: 1 });
        }),
    };
  },
  { atOnce: 2 },
);

sharedObjectSuite(
  'connections over the wire',
  async () => {
    const works = new Map<string, Operation['work']>();
    const server = createServer((request, response) => {
      const gone = new AbortController();
      response.on('close', () => gone.abort());
      works
        .get(request.url ?? '')?.(gone.signal)
        .then(
          (text) => response.end(text.padEnd(3_000)),
          () => response.destroy(),
        );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const transport = new Transport({
      maxConnectionsPerHost: 2,
      rateLimit: new ByteRateLimit(1_000_000),
    });
    return {
      begin: async ({ key, signal, work }) => {
        const path = `/${key}/${works.size}`;
        works.set(path, work);
        const url = new URL(`http://127.0.0.1:${port}${path}`);
        const response = await transport.send({ method: 'GET', url, headers: {}, attempt: 1, signal });
        await collectBody(response, 10_000, () => new Error('too long'));
      },
      close: async () => {
        await transport.close();
        server.close();
        await once(server, 'close');
      },
    };
  },
  {
    atOnce: 2,
    io: true,
    runs: 20,
    isExpected: (error) => error instanceof RegistryError && error.code === 'UNAVAILABLE',
  },
);
