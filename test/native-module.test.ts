import { describe, expect, it } from 'vitest';
import { type NativeModule, nativeModuleError } from '../src/native-module.js';

const PROJECT = '/srv/app/node_modules/landfall/dist/bin/chunks/x.js';

describe('what is said of a native module that does not load', () => {
  // As glibc, musl, Node, bindings and koffi say it.
  it.each<[string, NativeModule, string]>([
    ['is not installed', 'sqlite3', "Cannot find module 'sqlite3'\nRequire stack:\n- /srv/app/x.js"],
    ['is not installed', 'zstd-napi', "Cannot find package 'zstd-napi' imported from /srv/app/x.js"],
    ['is not installed', 'zstd-napi', "Cannot find module 'zstd-napi/binding.js'"],
    ['cannot be loaded', 'sqlite3', "Cannot find module 'bindings'\nRequire stack:"],
    ['was not built here', 'sqlite3', 'Could not locate the bindings file. Tried:\n → /a\n → /b'],
    ['was not built here', 'zstd-napi', "Cannot find module './build/Release/binding.node'"],
    [
      `is not ready-made for linux-${process.arch}`,
      'sqlite3',
      "Cannot find module './riscv64/sqlite3.node'\nRequire stack:",
    ],
    [
      `is not ready-made for linux-${process.arch}`,
      'sqlite3',
      "Cannot find module '/srv/app/node_modules/landfall/dist/native/sqlite3.cjs'",
    ],
    ['is not found from inside a bundle', 'sqlite3', "Cannot find module '#native/sqlite3'\nRequire stack:"],
    [
      'is not found from inside a bundle',
      'zstd-napi',
      'Package import specifier "#native/zstd-napi" is not defined in package /srv/app/package.json',
    ],
    ['was not built here', 'koffi', 'Cannot find the native Koffi module; did you bundle it correctly?'],
    [
      'was built for musl, and this system has another C library',
      'koffi',
      'libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory',
    ],
    [
      'was built for glibc, and this system has musl',
      'sqlite3',
      'Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /x.node)',
    ],
    [
      'was built for a newer C library than this system has',
      'sqlite3',
      "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /x.node)",
    ],
    [
      'was built for a newer C library than this system has',
      'sqlite3',
      "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /x.node)",
    ],
    [
      'was built for another processor',
      'sqlite3',
      '/x.node: cannot open shared object file: No such file or directory',
    ],
    ['was built for another processor', 'sqlite3', '/x.node: wrong ELF class: ELFCLASS32'],
    ['was built for another processor', 'sqlite3', 'Error loading shared library /x.node: Exec format error'],
    ['was built for another system', 'sqlite3', '/x.node: invalid ELF header'],
    ['was not written as a whole', 'sqlite3', '/x.node: file too short'],
    ['was built for another Node.js', 'sqlite3', '/x.node: undefined symbol: napi_create_object'],
    [
      'needs a library that this system does not have',
      'sqlite3',
      'libstdc++.so.6: cannot open shared object file: No such file or directory',
    ],
    ['cannot be loaded', 'sqlite3', 'the moon is full'],
  ])('it %s', (reason, module, text) => {
    const { code, message, details, cause } = nativeModuleError(module, new Error(text), PROJECT);
    expect(code).toBe('UNSUPPORTED');
    expect(details).toEqual({ module });
    expect(message.slice(message.lastIndexOf(', which '))).toMatch(new RegExp(` ${reason}$`));
    expect((cause as Error).message).not.toMatch(/\n|Tried/);
  });

  it.each<[string, NativeModule, string, string]>([
    [
      'a project',
      'sqlite3',
      PROJECT,
      'Run `npm install sqlite3` in /srv/app; it needs python3, make and g++.',
    ],
    [
      'a project',
      'koffi',
      PROJECT,
      'Run `npm install --include=optional` in /srv/app, on the machine where landfall is to run.',
    ],
    [
      'the global packages',
      'zstd-napi',
      '/usr/local/lib/node_modules/landfall/dist/src/x.js',
      'Run `npm install --global --prefix /usr/local zstd-napi`; it needs python3, make and g++.',
    ],
    [
      'the global packages',
      'koffi',
      '/opt/x/lib/node_modules/landfall/dist/src/x.js',
      'Run `npm install --global --prefix /opt/x --include=optional landfall`, on the machine where landfall is to run.',
    ],
    [
      'a checkout',
      'sqlite3',
      '/home/me/landfall/dist/src/x.js',
      'Run `npm install sqlite3` where landfall is installed; it needs python3, make and g++.',
    ],
  ])('in %s %s is mended there', (_place, module, where, hint) => {
    expect(nativeModuleError(module, new Error('?'), where).hint).toBe(hint);
  });

  it('where the package is there and was not compiled, it is compiled', () => {
    const { hint } = nativeModuleError('sqlite3', new Error('Could not locate the bindings file'), PROJECT);
    expect(hint).toBe('Run `npm rebuild sqlite3` in /srv/app; it needs python3, make and g++.');
  });
});
