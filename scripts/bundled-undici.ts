/**
 * What takes the place of undici in the bundled command: the parts of it that landfall uses. Its index loads
 * a hundred files more, for fetch, WebSocket, caches and mocks, in 35 ms.
 */
import { setFlagsFromString } from 'node:v8';
import api from 'undici/lib/api/index.js';
import buildConnector from 'undici/lib/core/connect.js';
import Agent from 'undici/lib/dispatcher/agent.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import Pool from 'undici/lib/dispatcher/pool.js';

// As its index does.
Object.assign(Dispatcher.prototype, api);

/*
 * The V8 of Node 20 takes undici's HTTP parser (WebAssembly) for much used after some fifty bytes, and the process cannot end
 * before that is optimized, which costs 60 ms of a processor. Later ones wait for seven times as much, and so does this from
 * here on. It comes after the imports, since a changed flag makes Node compile anew what it has of its own in compiled form.
 */
if (process.versions.v8.startsWith('11.')) setFlagsFromString('--wasm-tiering-budget=13000000');

export { Agent, buildConnector, Pool };
