import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

let koffi: typeof Koffi | undefined;

/**
 * What calls native code, loaded at the first call so that importing this module costs nothing.
 *
 * @throws Error where this is not Linux on x86_64 or arm64, or there is no binary of it for this machine
 */
export function ffi(): typeof Koffi {
  return (koffi ??= load());
}

function load(): typeof Koffi {
  if (process.platform !== 'linux') throw new Error(`the platform is ${process.platform}`);
  if (process.arch !== 'x64' && process.arch !== 'arm64')
    throw new Error(`the architecture is ${process.arch}`);
  return createRequire(import.meta.url)('koffi') as typeof Koffi;
}
