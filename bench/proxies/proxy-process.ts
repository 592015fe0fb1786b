/*
 * A proxy in a process of its own, so that it takes no turn from whoever measures. Started by `startProxy`; says on which
 * port it listens over the channel of `fork`, and ends when that closes.
 *
 * Usage: node dist/bench/proxies/proxy-process.js PORT LINE-AS-JSON
 */
import { once } from 'node:events';
import type { LineShape } from './line.js';
import { ProxyServer } from './proxy-server.js';

const [port = '', shape = ''] = process.argv.slice(2);
await using proxy = await ProxyServer.start(Number(port), JSON.parse(shape) as LineShape);
process.send?.(proxy.port);
await once(process, 'disconnect');
